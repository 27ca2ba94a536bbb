# SPDX-License-Identifier: Apache-2.0
"""The driver API for test scripts that run as applications, through cffi's view of libvgpu."""

import sys

from libvgpu.interface import open_library

ffi, lib = open_library()

INVALID_VALUE, OUT_OF_MEMORY, NOT_INITIALIZED, NO_DEVICE = 1, 2, 3, 100
INVALID_CONTEXT, INVALID_HANDLE, NOT_FOUND, NOT_READY = 201, 400, 500, 600
ILLEGAL_ADDRESS, CONTEXT_GONE, NOT_SUPPORTED = 700, 709, 801

KERNELS = b"""
.version 7.0
.target sm_75
.address_size 64

.visible .entry vadd(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)
{
    .reg .pred %p<2>; .reg .b32 %r<6>; .reg .f32 %f<4>; .reg .b64 %rd<8>;
    ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u64 %rd3, [c];
    ld.param.u32 %r1, [n];
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra DONE;
    mul.wide.u32 %rd4, %r5, 4;
    add.s64 %rd5, %rd1, %rd4; add.s64 %rd6, %rd2, %rd4; add.s64 %rd7, %rd3, %rd4;
    ld.global.f32 %f1, [%rd5]; ld.global.f32 %f2, [%rd6];
    add.f32 %f3, %f1, %f2;
    st.global.f32 [%rd7], %f3;
DONE:
    ret;
}

// *to += value, by one thread
.visible .entry add_to(.param .u64 to, .param .u32 value)
{
    .reg .b32 %r<4>; .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [to]; ld.param.u32 %r1, [value];
    ld.global.u32 %r2, [%rd1];
    add.u32 %r3, %r2, %r1;
    st.global.u32 [%rd1], %r3;
    ret;
}

// *to = *from, by one thread
.visible .entry move_one(.param .u64 to, .param .u64 from)
{
    .reg .b32 %r<2>; .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [to]; ld.param.u64 %rd2, [from];
    ld.global.u32 %r1, [%rd2];
    st.global.u32 [%rd1], %r1;
    ret;
}

// wait until *flag is not 0
.visible .entry wait_for(.param .u64 flag)
{
    .reg .pred %p<2>; .reg .b32 %r<2>; .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [flag];
LOOP:
    ld.volatile.global.u32 %r1, [%rd1];
    setp.eq.u32 %p1, %r1, 0;
    @%p1 bra LOOP;
    ret;
}
"""


class Failed(Exception):
    """A call returned an error."""

    def __init__(self, status):
        super().__init__(f"CUresult {status}")
        self.status = status


def check(status):
    if status:
        raise Failed(status)


def out(c_type, call):
    """Run a call with a pointer to a new value; the value."""
    cell = ffi.new(f"{c_type} *")
    check(call(cell))
    return cell[0]


def start():
    """cuInit and the primary context of device 0, made current."""
    check(lib.cuInit(0))
    context = out("CUcontext", lambda p: lib.cuDevicePrimaryCtxRetain(p, 0))
    check(lib.cuCtxSetCurrent(context))
    return context


def alloc(size):
    return out("CUdeviceptr", lambda p: lib.cuMemAlloc_v2(p, size))


def host_alloc(size, flags=3):
    pointer = out("void *", lambda p: lib.cuMemHostAlloc(p, size, flags))
    return ffi.buffer(pointer, size), int(ffi.cast("uintptr_t", pointer))


def write(address, data):
    check(lib.cuMemcpyHtoD_v2(address, ffi.from_buffer(data), len(data)))


def read(address, size):
    data = bytearray(size)
    check(lib.cuMemcpyDtoH_v2(ffi.from_buffer(data), address, size))
    return bytes(data)


def read_u32(address):
    return int.from_bytes(read(address, 4), "little")


def write_u32(address, value):
    write(address, value.to_bytes(4, "little"))


def stream(flags=1):
    return out("CUstream", lambda p: lib.cuStreamCreate(p, flags))


def event(flags=2):
    return out("CUevent", lambda p: lib.cuEventCreate(p, flags))


def module(image=KERNELS):
    return out("CUmodule", lambda p: lib.cuModuleLoadData(p, image + b"\0"))


def function(loaded, name):
    return out("CUfunction", lambda p: lib.cuModuleGetFunction(p, loaded, name.encode()))


def launch(kernel, grid, block, *params, on=ffi.NULL, shared=0):
    """Launch with parameters given as (C type, value)."""
    cells = [ffi.new(f"{c_type} *", value) for c_type, value in params]
    pointers = ffi.new("void *[]", [ffi.cast("void *", cell) for cell in cells] or [ffi.NULL])
    return lib.cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, shared, on, pointers, ffi.NULL)


def u64(value):
    return ("unsigned long long", value)


def u32(value):
    return ("unsigned int", value)


def say(*words):
    """Tell the test something, at once."""
    print(*words, flush=True)


def hear():
    """Wait for the test's answer."""
    return sys.stdin.readline().strip()
