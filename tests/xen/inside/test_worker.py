# SPDX-License-Identifier: Apache-2.0
"""A worker that its tenant owns, with real grants in its hands, maps nothing that was not given."""

from __future__ import annotations

import pytest

ATTEMPTS = ("map-grant", "grant-notify", "bind-port", "allocate-port", "unrestrict")


@pytest.fixture(scope="module")
def tenant(pods, proxy):
    """A pod whose workers do what it says (tests/gpu_proxy/support/scripted_worker.py)."""
    proxy.restart("--worker-module=scripted_worker", path="/repo:/repo/tests/gpu_proxy/support")
    pods[0].wait_connected(proxy)
    yield pods[0]
    proxy.restart()
    for pod in pods:
        pod.wait_connected(proxy)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_devices_of_xen(tenant, attempt):
    said = tenant.run(
        f"""cd /repo/tests/gpu_proxy/support && python3 - <<'END'
from front_end import FrontEnd
session = FrontEnd("/run/vgpu/proxy.sock")
print("said", session.ask("attempt", name="{attempt}"))
END
"""
    )
    assert "said EPERM\n" in said
