# SPDX-License-Identifier: Apache-2.0
"""A domain whose agent lies: it publishes what is not its own, or what is nothing at all."""

from __future__ import annotations

import pytest

# Run in the guest after its agent was killed: the nodes are the zone's to write.
NODES = """
import sys
sys.path.insert(0, "/repo")
from idm.xen import nodes
from idm.xen.store import Store
store = Store()
mine = "device/vgpu/0"
back = store.read(mine + "/backend")
def publish(refs, port, generation):
    store.write(mine + "/version", 1)
    store.write(mine + "/ring-refs", refs)
    store.write(mine + "/event-channel", port)
    store.write(mine + "/seen", store.read(back + "/generation"))
    store.write(mine + "/generation", generation)
    store.write(mine + "/state", 3)
"""
LIES = {
    "references that are none": ("' '.join(map(str, range(900000, 900018)))", "5"),
    "too few references": ("'8 9 10'", "5"),
    "words": ("'eight nine ten'", "5"),
    "a negative port": ("' '.join(map(str, range(8, 26)))", "'-1'"),
    "a port of nobody": ("' '.join(map(str, range(8, 26)))", "4000"),
    "kilobytes": ("'8 ' * 1300", "5"),
}


@pytest.fixture
def liar(pods, proxy):
    """The second pod without its agent; it has one again afterwards."""
    pod = pods[1]
    pod.kill_agent()
    proxy.wait_for("domain-disconnected", domain=pod.domain.domid)
    yield pod
    pod.start_agent()
    pod.wait_connected(proxy)


@pytest.mark.parametrize("lie", LIES)
def test_a_channel_that_is_none(liar, pods, proxy, lie):
    refs, port = LIES[lie]
    before = len(proxy.lines("domain-disconnected", domain=liar.domain.domid))
    liar.run(f"python3 - <<'END'\n{NODES}\npublish({refs}, {port}, '{lie}')\nEND\n")
    proxy.wait_for("domain-disconnected", domain=liar.domain.domid)
    reasons = proxy.lines("domain-disconnected", domain=liar.domain.domid)[before:]
    assert any("no channel" in line["reason"] for line in reasons) or not reasons
    assert "b'xxx'" in pods[0].python(
        "start(); address = alloc(4096); ok(write(address, b'x' * 4096)); say(read(address, 3))"
    )


def test_another_domains_nodes_are_closed(pods):
    first, second = (pod.domain.domid for pod in pods)
    for path in (
        f"/local/domain/{first}/device/vgpu/0/ring-refs",
        f"/local/domain/0/backend/vgpu/{first}/0/zone",
        f"/local/domain/{first}/data",
    ):
        pods[1].run(f"xenstore-read {path}", expected=1)
        pods[1].run(f"xenstore-write {path} x", expected=1)
    # Its own quota is the toolstack's to say.
    own = f"/local/domain/0/backend/vgpu/{second}/0/device-memory"
    pods[1].run(f"xenstore-read {own}")
    pods[1].run(f"xenstore-write {own} 1TiB", expected=1)


def test_messages_that_are_none(liar, pods, proxy):
    """A channel that is right, and then says something else."""
    for message in ("99, 1, b''", "1, 1, b'short'", "3, 7, b'x' * 15", "1, 2, bytes(70000)"):
        before = len(proxy.lines("domain-disconnected", domain=liar.domain.domid))
        liar.run(
            f"""cd /repo && timeout 100 python3 - <<'END'
import time
from idm.xen.front_channel import FrontChannel
from idm.xen.store import Store
store = Store()
channel = FrontChannel(store, "device/vgpu/0", print)
while not channel.connected:
    channel.look()
    channel.transfer()
    time.sleep(0.05)
channel.send({message})
channel.transfer()
while channel.connected:
    channel.look()
    time.sleep(0.05)
END
"""
        )
        after = proxy.lines("domain-disconnected", domain=liar.domain.domid)[before:]
        assert any("malformed" in line["reason"] for line in after) or "3, 7" in message, after
    assert "b'xxx'" in pods[0].python(
        "start(); address = alloc(4096); ok(write(address, b'x' * 4096)); say(read(address, 3))"
    )
