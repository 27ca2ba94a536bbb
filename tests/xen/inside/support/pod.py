# SPDX-License-Identifier: Apache-2.0
"""A trial guest with the zone's agent in it: for tests that need a shell in the pod domain."""

from __future__ import annotations

import itertools
import re

from domain import Domain
from proxy import Proxy
from waiting import wait_until

NUMBERS = itertools.count(1)
GRANTS = 16384  # pages that the guest may grant: 64 MiB
AGENT_LOG = "/run/agent.log"
START_AGENT = f"""
cd /repo
(setsid python3 -m idm.xen.agent </dev/null >>{AGENT_LOG} 2>&1 & echo $! >/run/agent.pid)
"""
PROGRAM = "export LD_LIBRARY_PATH=/repo/libvgpu/_lib:/programs/lib PYTHONPATH=/repo; cd /programs\n"
RUN_SECONDS = 300


class Pod:
    """A domain whose applications have a GPU."""

    def __init__(self, domain: Domain, proxy: Proxy, zone: str, **quota: str | int) -> None:
        """`domain` has booted; its zone is announced and its agent started."""
        self.domain = domain
        self.zone = zone
        proxy.announce(domain.domid, zone, **quota)
        domain.run(f"echo {GRANTS} > /sys/module/xen_gntalloc/parameters/limit")
        domain.run(START_AGENT)
        self.wait_connected(proxy)

    def wait_connected(self, proxy: Proxy) -> None:
        """Until sessions can begin."""
        proxy.wait_for("domain-connected", domain=self.domain.domid)
        self.domain.wait_store("device/vgpu/0/state", "4")

    def run(self, script: str, expected: int = 0, seconds: float = RUN_SECONDS) -> str:
        """Run a shell script with the virtual GPU; what it printed."""
        return self.domain.run(PROGRAM + script, seconds, expected)

    def python(self, script: str, expected: int = 0, seconds: float = RUN_SECONDS) -> str:
        """Run a Python script that has `vgpu` of `DRIVER` and prints what it found."""
        return self.run(f"python3 - <<'END'\n{DRIVER}\n{script}\nEND\n", expected, seconds)

    def begin(self, script: str) -> Background:
        """Begin such a Python script beside whatever else runs here."""
        return Background(self, f"python3 -u - <<'END'\n{DRIVER}\n{script}\nEND\n")

    def agent_log(self) -> str:
        """What the agent has said."""
        return self.domain.run(f"cat {AGENT_LOG}")

    def kill_agent(self) -> None:
        """As a crash would end it."""
        self.domain.run("kill -KILL $(cat /run/agent.pid)")

    def start_agent(self) -> None:
        """Start another one, as the guest's init does."""
        self.domain.run(START_AGENT)


class Background:
    """A script of a pod that goes on while others run."""

    def __init__(self, pod: Pod, script: str) -> None:
        self._pod = pod
        self._base = f"/run/background.{next(NUMBERS)}"
        self._said = ""
        file, out = self._base, f"{self._base}.out"
        pod.run(
            f"cat >{file} <<'SCRIPT'\n{script}\nSCRIPT\n"
            f"(setsid bash {file} </dev/null >{out} 2>&1; echo $? >{file}.status) &\n"
        )

    def wait_for(self, pattern: str, seconds: float = RUN_SECONDS) -> re.Match[str]:
        """Wait until it has printed this."""

        def there() -> re.Match[str] | None:
            self._said = self.said()
            return re.search(pattern, self._said)

        try:
            return wait_until(there, f"a script says {pattern!r}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._said}") from None

    def end(self, expected: int = 0, seconds: float = RUN_SECONDS) -> str:
        """Wait for its end; what it printed."""
        status = f"cat {self._base}.status 2>/dev/null || true"
        found = wait_until(lambda: self._pod.run(status).strip(), "a script ends", seconds)
        said = self.said()
        assert found == str(expected), f"exit {found}\n{said}"
        return said

    def said(self) -> str:
        """What it has printed so far."""
        return self._pod.run(f"cat {self._base}.out")

    def kill(self) -> None:
        """Kill its processes, all of one session."""
        self._pod.run(f"pkill -KILL --session $(pgrep -o -f 'bash {self._base}')")


# The driver API by ctypes: the guest has no compiler, and cffi would parse for long under emulation.
DRIVER = r"""
import ctypes as C, os, sys, time
cuda = C.CDLL("libcuda.so.1")
OOM, INVALID, NO_DEVICE, BAD_HANDLE = 2, 1, 100, 400
def ok(status):
    assert status == 0, status
def start():
    ok(cuda.cuInit(0))
    context = C.c_void_p()
    ok(cuda.cuDevicePrimaryCtxRetain(C.byref(context), 0))
    ok(cuda.cuCtxSetCurrent(context))
    return context
def alloc(size):
    address = C.c_uint64()
    status = cuda.cuMemAlloc_v2(C.byref(address), C.c_size_t(size))
    return address.value if status == 0 else -status
def write(address, data):
    return cuda.cuMemcpyHtoD_v2(C.c_uint64(address), data, C.c_size_t(len(data)))
def read(address, size):
    buffer = C.create_string_buffer(size)
    status = cuda.cuMemcpyDtoH_v2(buffer, C.c_uint64(address), C.c_size_t(size))
    return buffer.raw if status == 0 else -status
def pinned(size):
    host = C.c_void_p()
    status = cuda.cuMemAllocHost_v2(C.byref(host), C.c_size_t(size))
    return host.value if status == 0 else -status
def say(*words):
    print(*words, flush=True)
"""
