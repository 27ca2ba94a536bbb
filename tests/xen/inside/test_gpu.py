# SPDX-License-Identifier: Apache-2.0
"""CUDA programs in pod domains, over real grants: right numbers, and nothing that is another's."""

from __future__ import annotations

import re

from hypervisor import mapped_grants
from waiting import wait_until

HOLD = """
start()
say("here")
while not os.path.exists("/run/let-go"):
    time.sleep(0.1)
"""

OWNER = """
start()
address = alloc(4096)
ok(write(address, b"secret" + bytes(4090)))
event = C.c_void_p(); ok(cuda.cuEventCreate(C.byref(event), 0))
say("owner", address, event.value, pinned(4096))
while not os.path.exists("/run/go"):
    time.sleep(0.1)
assert read(address, 6) == b"secret"
say("kept")
"""

INTRUDER = """
start()
address, event, host = {address}, {event}, {host}
assert read(address, 6) == -INVALID, read(address, 6)
assert write(address, b"broken") == INVALID
assert cuda.cuMemsetD8_v2(C.c_uint64(address), 0, C.c_size_t(6)) == INVALID
assert cuda.cuMemFree_v2(C.c_uint64(address)) == INVALID
assert cuda.cuMemFreeHost(C.c_void_p(host)) == INVALID
assert cuda.cuEventQuery(C.c_void_p(event)) == BAD_HANDLE
say("held")
"""


def test_the_demos_programs(pods, proxy):
    """The same unmodified programs as in `make demo`, in two kernels at once."""
    numbers = {}
    for pod in pods:
        numbers[pod] = pod.domain.start(
            "export LD_LIBRARY_PATH=/repo/libvgpu/_lib:/programs/lib; cd /programs; set -e\n"
            "for program in vadd matmul reduce driver_nvrtc; do ./$program; done\n"
        )
    for pod in pods:
        end = pod.domain.wait_console(rf"vgpu-end {numbers[pod]} (\d+)\n", 300)
        assert end[1] == "0", pod.domain.console[-3000:]
    for pod in pods:
        assert proxy.lines("domain-served", domain=pod.domain.domid, zone=pod.zone)
        ended = proxy.lines("session-ended", zone=pod.zone)
        assert sum(line["launches"] for line in ended) > 0


def test_pages_of_a_session_are_the_domains_own(pods):
    """Xen itself says that Dom0 maps pages that the domain granted."""
    pod = pods[0]
    before = len(mapped_grants()[pod.domain.domid])
    session = pod.begin(HOLD)
    session.wait_for("here")
    assert len(mapped_grants()[pod.domain.domid]) > before + 500
    pod.run("touch /run/let-go")
    session.end()
    wait_until(
        lambda: len(mapped_grants()[pod.domain.domid]) <= before, "its pages are unmapped again"
    )


def test_another_domains_numbers_are_nobodys(pods):
    owner, intruder = pods
    session = owner.begin(OWNER)
    found = session.wait_for(r"owner (\d+) (\d+) (\d+)")
    address, event, host = map(int, found.groups())
    script = INTRUDER.format(address=address, event=event, host=host)
    assert "held" in intruder.python(script)
    owner.run("touch /run/go")
    assert "kept" in session.end()


def test_quota_is_the_zones(pods):
    small = pods[1]
    said = small.python(
        """
start()
free, total = C.c_size_t(), C.c_size_t()
ok(cuda.cuMemGetInfo_v2(C.byref(free), C.byref(total)))
first = alloc(48 << 20)
say("total", total.value, "first", first > 0, "second", alloc(32 << 20))
"""
    )
    assert re.search(r"total 67108864 first True second -2", said), said
