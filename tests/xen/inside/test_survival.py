# SPDX-License-Identifier: Apache-2.0
"""Whatever dies, the others go on, nobody waits for the dead, and nothing stays mapped."""

from __future__ import annotations

from hypervisor import mapped_grants
from pod import Pod
from waiting import wait_until

COPYING = """
start()
address, data = alloc(8 << 20), bytes(8 << 20)
say("copying")
while True:
    status = write(address, data)
    if status:
        say("over", status)
        break
"""

WAITING = """
start()
say("waiting")
while True:
    status = cuda.cuCtxSynchronize()
    if status:
        say("over", status)
        break
    time.sleep(0.05)
"""

ONCE = "start(); address = alloc(4096); ok(write(address, b'x' * 4096)); say(read(address, 3))"


def grants(pod: Pod) -> int:
    """How many of the domain's pages others have mapped, by Xen's own account."""
    return len(mapped_grants().get(pod.domain.domid, []))


def test_an_application_is_killed_in_a_copy(pods, proxy):
    pod = pods[0]
    idle = grants(pod)
    session = pod.begin(COPYING)
    session.wait_for("copying")
    ended = len(proxy.lines("session-ended", zone=pod.zone))
    session.kill()
    wait_until(lambda: len(proxy.lines("session-ended", zone=pod.zone)) > ended, "its session ends")
    wait_until(lambda: grants(pod) <= idle, "its pages are unmapped")
    assert "b'xxx'" in pod.python(ONCE)


def test_the_agent_is_killed(pods, proxy):
    pod, other = pods
    session, bystander = pod.begin(WAITING), other.begin(WAITING)
    session.wait_for("waiting")
    bystander.wait_for("waiting")
    connected = len(proxy.lines("domain-connected", domain=pod.domain.domid))
    pod.kill_agent()
    assert "over" in session.end()
    proxy.wait_for("domain-disconnected", domain=pod.domain.domid)
    pod.start_agent()
    wait_until(
        lambda: len(proxy.lines("domain-connected", domain=pod.domain.domid)) > connected,
        "the next agent is connected",
    )
    assert "b'xxx'" in pod.python(ONCE)
    assert "over" not in bystander.said()
    bystander.kill()


def test_the_end_of_the_grants_is_an_error_with_a_name(pods):
    """Pinned memory beyond what the guest may grant: the call fails, the session goes on."""
    pod = pods[0]
    said = pod.python(
        """
start()
held = []
while len(held) < 100:
    host = pinned(4 << 20)
    if host < 0:
        break
    held.append(host)
say("held", len(held), "then", host)
for host in held:
    ok(cuda.cuMemFreeHost(C.c_void_p(host)))
say("again", pinned(4 << 20) > 0)
"""
    )
    assert "then -2" in said
    assert "again True" in said
    assert "granted pages" in pod.agent_log() or "gntalloc" in pod.agent_log()


def test_gpu_proxy_is_killed_and_started_again(pods, proxy):
    sessions = [pod.begin(WAITING) for pod in pods]
    for session in sessions:
        session.wait_for("waiting")
    proxy.kill()
    for session in sessions:
        assert "over" in session.end()
    wait_until(lambda: not any(map(session_grants, pods)), "nothing stays pinned")
    proxy.start()
    for pod in pods:
        pod.wait_connected(proxy)
        assert "b'xxx'" in pod.python(ONCE)


def test_gpu_proxy_stops_in_order_and_starts_again(pods, proxy):
    session = pods[0].begin(WAITING)
    session.wait_for("waiting")
    proxy.restart()
    assert "over" in session.end()
    for pod in pods:
        pod.wait_connected(proxy)
        assert "b'xxx'" in pod.python(ONCE)


def test_a_domain_is_destroyed_in_a_copy(domain, pods, proxy, pod_image):
    first = Pod(domain("pv", pod_image, memory=512).boot(), proxy, "first")
    session = first.begin(COPYING)
    session.wait_for("copying")
    first.domain.destroy()
    proxy.wait_for("domain-gone", domain=first.domain.domid)
    first.domain.wait_gone()
    assert proxy.lines("session-ended", zone="first")
    assert "b'xxx'" in pods[0].python(ONCE)
    # The zone's name is free again.
    second = Pod(domain("pvh", pod_image, memory=512).boot(), proxy, "first")
    assert "b'xxx'" in second.python(ONCE)


def session_grants(pod: Pod) -> bool:
    """Whether a session's pages are among them: many at once, where disks have a few."""
    return grants(pod) > 500
