# SPDX-License-Identifier: Apache-2.0
"""Programs through the whole path compute right results."""

import pytest

VADD = """
from cu import *
import struct
start()
n = 100003
a, b, c = (alloc(4 * n) for _ in range(3))
x = [float(i) for i in range(n)]; y = [0.5 * i for i in range(n)]
write(a, struct.pack(f"{n}f", *x)); write(b, struct.pack(f"{n}f", *y))
vadd = function(module(), "vadd")
check(launch(vadd, (n + 255) // 256, 256, u64(a), u64(b), u64(c), u32(n)))
z = struct.unpack(f"{n}f", read(c, 4 * n))
assert all(z[i] == 1.5 * i for i in range(0, n, 97)), z[:8]
for p in (a, b, c): check(lib.cuMemFree_v2(p))
say("right")
"""


def test_vector_add(proxy):
    assert proxy.run(VADD) == "right\n"


@pytest.mark.parametrize(
    "size", [1, 7, 4032, 4033, 32768, 32769, 524288, 524289, 3 << 20, 70000001]
)
def test_pageable_copies_of_every_path(proxy, size):
    proxy.run(f"""
from cu import *
import random
start()
data = random.Random(1).randbytes({size})
p = alloc({size})
write(p, data)
assert read(p, {size}) == data
s = stream()
check(lib.cuMemcpyHtoDAsync_v2(p, ffi.from_buffer(data[::-1]), {size}, s))
back = bytearray({size})
check(lib.cuMemcpyDtoHAsync_v2(ffi.from_buffer(back), p, {size}, s))
check(lib.cuStreamSynchronize(s))
assert bytes(back) == data[::-1]
""")


def test_pinned_memory_is_the_same_on_both_sides(proxy):
    proxy.run("""
from cu import *
start()
size = 5 << 20
view, host = host_alloc(size)
place = ffi.cast("void *", host)
assert out("CUdeviceptr", lambda p: lib.cuMemHostGetDevicePointer_v2(p, place, 0)) == host
view[:] = bytes(range(256)) * (size // 256)
p = alloc(size)
s = stream()
check(lib.cuMemcpyHtoDAsync_v2(p, ffi.cast("void *", host), size, s))
check(lib.cuStreamSynchronize(s))
assert read(p, size) == bytes(view)
check(lib.cuMemsetD8_v2(p, 7, size))
check(lib.cuMemcpyDtoH_v2(ffi.cast("void *", host), p, size))
assert bytes(view) == b"\\x07" * size
# A kernel writes straight into the application's pages.
add_to = function(module(), "add_to")
view[:4] = b"\\0\\0\\0\\0"
check(launch(add_to, 1, 1, u64(host), u32(41)))
check(launch(add_to, 1, 1, u64(host), u32(1)))
check(lib.cuCtxSynchronize())
assert bytes(view[:4]) == (42).to_bytes(4, "little")
check(lib.cuMemFreeHost(ffi.cast("void *", host)))
assert lib.cuMemFreeHost(ffi.cast("void *", host)) == INVALID_VALUE
""")


def test_managed_and_registered_memory(proxy):
    proxy.run("""
from cu import *
import mmap
start()
add_to = function(module(), "add_to")
p = out("CUdeviceptr", lambda p: lib.cuMemAllocManaged(p, 8192, 1))
view = ffi.buffer(ffi.cast("char *", p), 8192)
view[:4] = (1).to_bytes(4, "little")
check(launch(add_to, 1, 1, u64(p), u32(2)))
check(lib.cuCtxSynchronize())
assert int.from_bytes(view[:4], "little") == 3
check(lib.cuMemFree_v2(p))
own = mmap.mmap(-1, 3 * 4096)
own[4096:4100] = (10).to_bytes(4, "little")
at = ffi.cast("char *", ffi.from_buffer(own)) + 4096
check(lib.cuMemHostRegister_v2(at, 4096, 0))
assert own[4096:4100] == (10).to_bytes(4, "little")
q = out("CUdeviceptr", lambda p: lib.cuMemHostGetDevicePointer_v2(p, at, 0))
check(launch(add_to, 1, 1, u64(q), u32(5)))
check(lib.cuCtxSynchronize())
assert int.from_bytes(own[4096:4100], "little") == 15
assert lib.cuMemHostRegister_v2(at, 4096, 0) == 712
check(lib.cuMemHostUnregister(at))
assert int.from_bytes(own[4096:4100], "little") == 15
assert lib.cuMemHostUnregister(at) == 713
""")


def test_device_questions_are_answered_from_the_snapshot(proxy):
    proxy.run("""
from cu import *
assert lib.cuDeviceGetCount(ffi.new("int *")) == NOT_INITIALIZED
assert lib.cuInit(1) == INVALID_VALUE
start()
name = ffi.new("char[]", 64)
check(lib.cuDeviceGetName(name, 64, 0))
assert ffi.string(name)
assert out("int", lambda p: lib.cuDeviceGetAttribute(p, 83, 0)) == 0   # managed memory
assert out("int", lambda p: lib.cuDeviceGetAttribute(p, 10, 0)) == 32  # warp size
assert lib.cuDeviceGetAttribute(ffi.new("int *"), 10, 5) == 101
total = out("size_t", lambda p: lib.cuDeviceTotalMem_v2(p, 0))
free, whole = ffi.new("size_t *"), ffi.new("size_t *")
check(lib.cuMemGetInfo_v2(free, whole))
assert 0 < free[0] <= whole[0] == total
text = ffi.new("const char **")
check(lib.cuGetErrorName(700, text))
assert ffi.string(text[0]) == b"CUDA_ERROR_ILLEGAL_ADDRESS"
""")


def test_a_refused_call_is_named_once(proxy):
    application = proxy.start(
        "from cu import *\nassert [lib.cuMulticastCreate() for _ in range(3)] == [801] * 3"
    )
    _, err = application.end()
    assert err.count("cuMulticastCreate") == 1


def test_host_functions_run_in_the_application_in_stream_order(proxy):
    proxy.run("""
from cu import *
start()
seen = []
s = stream()
p = alloc(4)
write_u32(p, 0)
add_to = function(module(), "add_to")
@ffi.callback("void(void *)")
def note(data):
    seen.append((int(ffi.cast("uintptr_t", data)), read_nothing()))
def read_nothing():
    return len(seen)
for i in range(20):
    check(launch(add_to, 1, 1, u64(p), u32(1), on=s))
    function_at = ffi.cast("CUhostFn", ffi.cast("uintptr_t", note))
    check(lib.cuLaunchHostFunc(s, function_at, ffi.cast("void *", i)))
check(lib.cuStreamSynchronize(s))
assert seen == [(i, i) for i in range(20)], seen
assert read_u32(p) == 20
""")


def test_events_measure_and_order(proxy):
    proxy.run("""
from cu import *
start()
a, b = event(0), event(0)
s, t = stream(), stream()
assert lib.cuEventQuery(a) == 0
check(lib.cuEventRecord(a, s))
view, flag = host_alloc(4096)
wait_for = function(module(), "wait_for")
check(launch(wait_for, 1, 1, u64(flag), on=s))
check(lib.cuEventRecord(b, s))
check(lib.cuStreamWaitEvent(t, b, 0))
assert lib.cuEventQuery(b) == NOT_READY
assert lib.cuStreamQuery(t) == NOT_READY
view[:4] = b"\\1\\0\\0\\0"
check(lib.cuStreamSynchronize(t))
check(lib.cuEventSynchronize(b))
assert out("float", lambda p: lib.cuEventElapsedTime(p, a, b)) >= 0
""")


def test_modules_globals_and_errors_of_images(proxy):
    proxy.run('''
from cu import *
start()
m = module(
           b""".version 7.0
.target sm_75
.address_size 64
.visible .global .align 4 .u32 counter = 7;
.visible .entry bump()
{
    .reg .b32 %r<3>;
    ld.global.u32 %r1, [counter];
    add.u32 %r2, %r1, 1;
    st.global.u32 [counter], %r2;
    ret;
}
""")
where, size = ffi.new("CUdeviceptr *"), ffi.new("size_t *")
check(lib.cuModuleGetGlobal_v2(where, size, m, b"counter"))
assert size[0] == 4 and read_u32(where[0]) == 7
check(launch(function(m, "bump"), 1, 1))
assert read_u32(where[0]) == 8
assert lib.cuModuleGetFunction(ffi.new("CUfunction *"), m, b"nothing") == NOT_FOUND
check(lib.cuModuleUnload(m))
assert lib.cuModuleGetFunction(ffi.new("CUfunction *"), m, b"bump") == INVALID_HANDLE
assert lib.cuModuleLoadData(ffi.new("CUmodule *"), b"not an image\\0") in (200, 218)
log = ffi.new("char[]", 4096)
options = ffi.new("int[]", [5, 6])
values = ffi.new("void *[]", [log, ffi.cast("void *", 4096)])
bad = KERNELS.replace(b"add.f32", b"frobnicate.f32")
numbers = ffi.cast("CUjit_option *", options)
status = lib.cuModuleLoadDataEx(ffi.new("CUmodule *"), bad + b"\\0", 2, numbers, values)
assert status != 0 and b"frobnicate" in ffi.string(log), (status, ffi.string(log))
''')


PRINT = r"""
.version 7.0
.target sm_75
.address_size 64
.extern .func (.param .b32 status) vprintf (.param .b64 format, .param .b64 arguments);
.global .align 1 .b8 text[17] = {104, 101, 108, 108, 111, 32, 37, 100, 32, 111, 102, 32, 37, 100, 33, 10, 0};
.visible .entry hello()
{
    .local .align 8 .b8 depot[8];
    .reg .b32 %r<4>; .reg .b64 %rd<5>;
    mov.u64 %rd1, depot;
    cvta.local.u64 %rd2, %rd1;
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %ntid.x;
    st.local.u32 [depot], %r1;
    st.local.u32 [depot+4], %r2;
    mov.u64 %rd3, text;
    cvta.global.u64 %rd4, %rd3;
    { .param .b64 p0; .param .b64 p1; .param .b32 q;
      st.param.b64 [p0], %rd4; st.param.b64 [p1], %rd2;
      call.uni (q), vprintf, (p0, p1);
      ld.param.b32 %r3, [q]; }
    ret;
}
"""


def test_what_kernels_print_reaches_the_applications_output(proxy):
    out = proxy.run(f"""
from cu import *
start()
hello = function(module({PRINT.encode()!r}), "hello")
say("before")
check(launch(hello, 1, 3))
check(lib.cuCtxSynchronize())
say("after")
check(launch(hello, 1, 1))
""")
    lines = out.splitlines()
    assert lines[0] == "before"
    assert sorted(lines[1:4]) == [f"hello {i} of 3!" for i in range(3)]
    assert lines[4:] == ["after", "hello 0 of 1!"]
