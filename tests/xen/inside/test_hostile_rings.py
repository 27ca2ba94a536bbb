# SPDX-License-Identifier: Apache-2.0
"""The hostile-ring tests of shared memory, run inside a pod domain over granted pages."""

from __future__ import annotations

import json
import threading

import pytest

from idm.xen.store import Store

ENDED = "data/vgpu-test/ended"
SUITES = {
    "hostile": "tests/end_to_end/test_hostile.py",
    "malformed": "tests/end_to_end/test_isolation.py -k 'malformed or truncat or garbage'",
}
SECONDS = 900


@pytest.fixture
def relay(pods, proxy):
    """Copy the log's lines about ended sessions into the domains, which cannot read the log."""
    stopping = threading.Event()

    def copy() -> None:
        store, told = Store(), set()
        while not stopping.wait(0.2):
            for line in proxy.lines("session-ended"):
                if line["session"] not in told:
                    told.add(line["session"])
                    for pod in pods:
                        path = f"/local/domain/{pod.domain.domid}/{ENDED}/{line['session']}"
                        store.write(path, json.dumps({"reason": line["reason"]}))
                        store.set_permissions(path, [f"n{pod.domain.domid}"])
        store.close()

    thread = threading.Thread(target=copy)
    thread.start()
    yield
    stopping.set()
    thread.join()


@pytest.mark.parametrize("suite", SUITES)
def test_hostile_rings(pods, relay, suite):
    """Zone b has the quota that the tests of the zone `small` need."""
    said = pods[1].run(
        "cd /repo; VGPU_TEST_REMOTE=/run/vgpu/proxy.sock python3 -m pytest -p no:cacheprovider"
        f" --timeout=600 -q {SUITES[suite]}",
        seconds=SECONDS,
    )
    assert " passed" in said
