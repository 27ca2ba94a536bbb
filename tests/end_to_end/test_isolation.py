# SPDX-License-Identifier: Apache-2.0
"""Zones and sessions cannot reach each other, whatever numbers they use."""

import os
import socket as sockets

import pytest
from front_end import FrontEnd

OWNER = """
from cu import *
start()
p = alloc(4096)
write(p, b"secret" + bytes(4090))
view, host = host_alloc(4096)
m = module()
say(p, host, int(ffi.cast("uintptr_t", stream())), int(ffi.cast("uintptr_t", event())),
    int(ffi.cast("uintptr_t", m)), int(ffi.cast("uintptr_t", function(m, "add_to"))))
hear()
assert read(p, 6) == b"secret"
"""

INTRUDER = """
from cu import *
start()
p, host, s, e, m, f = map(int, hear().split())
buffer = ffi.new("char[]", 16)
assert lib.cuMemcpyDtoH_v2(buffer, p, 6) == INVALID_VALUE
assert bytes(ffi.buffer(buffer)) == bytes(16)
assert lib.cuMemcpyHtoD_v2(p, b"broken", 6) == INVALID_VALUE
assert lib.cuMemsetD8_v2(p, 0, 6) == INVALID_VALUE
assert lib.cuMemFree_v2(p) == INVALID_VALUE
own = alloc(4096)
assert lib.cuMemcpyDtoD_v2(own, p, 6) == INVALID_VALUE
assert lib.cuMemcpyDtoD_v2(p, own, 6) == INVALID_VALUE
assert lib.cuMemFreeHost(ffi.cast("void *", host)) == INVALID_VALUE
# A handle is a number: it is nobody's here, or an object of our own, never theirs.
assert lib.cuStreamQuery(ffi.cast("CUstream", s)) == INVALID_HANDLE
assert lib.cuEventQuery(ffi.cast("CUevent", e)) == INVALID_HANDLE
assert lib.cuModuleUnload(ffi.cast("CUmodule", m)) == INVALID_HANDLE
assert launch(ffi.cast("CUfunction", f), 1, 1, u64(own), u32(1)) == INVALID_HANDLE
# A kernel that is told a foreign address fails in its own session.
add_to = function(module(), "add_to")
check(launch(add_to, 1, 1, u64(p), u32(1)))
assert lib.cuCtxSynchronize() == ILLEGAL_ADDRESS
say("held")
"""


@pytest.mark.parametrize("zone", ["b", "a"], ids=["other zone", "same zone"])
def test_pointers_and_handles_of_another_session(proxy, zone):
    owner = proxy.start(OWNER, "a")
    intruder = proxy.start(INTRUDER, zone)
    intruder.say(*owner.hear())
    assert "held" in intruder.end()[0]
    owner.say("check")
    owner.end()


def test_a_wild_pointer_is_an_error_in_that_session_only(proxy):
    other = proxy.start(
        """
from cu import *
start()
p = alloc(64)
write_u32(p, 5)
say("ready")
hear()
add_to = function(module(), "add_to")
check(launch(add_to, 1, 1, u64(p), u32(1)))
assert read_u32(p) == 6
""",
        "a",
    )
    other.hear()
    proxy.run(
        """
from cu import *
context = start()
m = module()
add_to = function(m, "add_to")
p = alloc(64)
check(launch(add_to, 1, 1, u64(0x123456789000), u32(1)))
assert lib.cuCtxSynchronize() == ILLEGAL_ADDRESS
# Sticky, as CUDA has it.
assert lib.cuMemcpyDtoH_v2(ffi.new("char[4]"), p, 4) == ILLEGAL_ADDRESS
assert lib.cuMemAlloc_v2(ffi.new("CUdeviceptr *"), 64) == ILLEGAL_ADDRESS
assert launch(add_to, 1, 1, u64(p), u32(1)) == ILLEGAL_ADDRESS
# A reset ends the error with the context.
check(lib.cuDevicePrimaryCtxReset_v2(0))
start()
q = alloc(64)
write_u32(q, 1)
assert read_u32(q) == 1
""",
        "a",
    )
    other.say("go")
    other.end()


def test_two_users_cannot_open_each_others_socket(own_proxy):
    if os.getuid() != 0:
        pytest.skip("needs root: two users own the zones")
    proxy = own_proxy("--zone=one:owner=12345", "--zone=two:owner=12346")
    for zone, user in (("one", 12345), ("two", 12346)):
        assert (proxy.runtime_dir / zone).stat().st_uid == user
        assert (proxy.runtime_dir / zone).stat().st_mode & 0o777 == 0o750
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgid(12346)
            os.setuid(12346)
            try:
                with sockets.socket(sockets.AF_UNIX, sockets.SOCK_SEQPACKET) as s:
                    s.connect(str(proxy.socket("one")))
            except PermissionError:
                with sockets.socket(sockets.AF_UNIX, sockets.SOCK_SEQPACKET) as s:
                    s.connect(str(proxy.socket("two")))
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


WINDOW = {"base": 0x2F0000000000, "size": 1 << 40}


def front_page(session, produced):
    session.region[4096:4104] = produced.to_bytes(8, "little")
    session.ring()


RING_AT = 4 * 4096 + 256 * 4096


def record(call, size=64, slot=0xFFFF, body=b""):
    header = size.to_bytes(4, "little") + call.to_bytes(2, "little") + slot.to_bytes(2, "little")
    return (header + body).ljust(64, b"\0")


MALFORMED = [
    ("garbage", b"\xa5" * 4096, 4096),
    ("a length beyond the ring", record(0x0F00, 1 << 30), 64),
    ("a length of zero", record(0x0F00, 0), 64),
    ("an index beyond the ring", record(0x0F00), 1 << 40),
    ("an index that is not a multiple", record(0x0F00), 63),
    ("an unknown call", record(0xEEEE), 64),
    ("a refused call", record(0x0009), 64),
    ("a local call", record(0x0000), 64),
    ("a call that never crosses", record(0x040E), 64),
    ("a slot that does not exist", record(0x0F00, slot=300), 64),
    ("a posted record with a slot", record(0x0F12, slot=1), 64),
    ("data beyond the record", record(0x0F16, 64, body=b"\0" * 24 + b"\xff" * 8), 64),
]


@pytest.mark.parametrize(("what", "data", "produced"), MALFORMED, ids=[row[0] for row in MALFORMED])
def test_a_malformed_ring_ends_that_session_with_a_reason(proxy, what, data, produced):
    other = proxy.start(
        "from cu import *\nstart()\nsay('up')\nhear()\n"
        "p = alloc(64)\nwrite_u32(p, 3)\nassert read_u32(p) == 3"
    )
    other.hear()
    session = FrontEnd(proxy.socket(), **WINDOW)
    session.region[RING_AT : RING_AT + len(data)] = data
    front_page(session, produced)
    session.wait_for_end()
    line = proxy.ended(session.number)
    assert "record" in line["reason"] or "call" in line["reason"], (what, line)
    session.close()
    other.say("go")
    other.end()


def test_shared_memory_cannot_be_cut_short(proxy):
    session = FrontEnd(proxy.socket(), **WINDOW)
    with pytest.raises(PermissionError):
        os.ftruncate(session.region_fd, 4096)
    with pytest.raises(PermissionError):
        os.ftruncate(session.region_fd, 1 << 30)
    with pytest.raises(PermissionError):
        os.ftruncate(session.snapshot_fd, 0)
    with pytest.raises(OSError, match="permitted"):
        os.pwrite(session.snapshot_fd, b"x", 0)
    session.close()
