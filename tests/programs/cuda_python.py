# SPDX-License-Identifier: Apache-2.0
"""A program that uses CUDA through cuda-python: PTX by hand, one kernel, streams and events."""

from __future__ import annotations

import array
import ctypes
import sys
from typing import Any

from cuda.bindings import driver as cu

COUNT = 10_000
PTX = b"""
.version 6.4
.target sm_75
.address_size 64
.visible .entry scale(.param .u64 values, .param .f32 factor, .param .u32 count)
{
    .reg .pred %p;
    .reg .b32 %r<6>;
    .reg .f32 %f<3>;
    .reg .b64 %d<5>;
    ld.param.u64 %d1, [values];
    ld.param.f32 %f1, [factor];
    ld.param.u32 %r1, [count];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p, %r5, %r1;
    @%p bra done;
    cvta.to.global.u64 %d2, %d1;
    mul.wide.u32 %d3, %r5, 4;
    add.s64 %d4, %d2, %d3;
    ld.global.f32 %f2, [%d4];
    mul.f32 %f2, %f2, %f1;
    st.global.f32 [%d4], %f2;
done:
    ret;
}
"""


def check(answer: tuple[Any, ...]) -> Any:
    """The results of a call, or an exception with the name of its error."""
    if answer[0] != cu.CUresult.CUDA_SUCCESS:
        raise RuntimeError(answer[0].name)
    return answer[1] if len(answer) == 2 else answer[1:]


def run(stream: Any, function: Any) -> int:
    """How many numbers come back right."""
    values = array.array("f", range(COUNT))
    address, bytes_ = values.buffer_info()[0], values.itemsize * COUNT
    memory = check(cu.cuMemAlloc(bytes_))
    check(cu.cuMemcpyHtoDAsync(memory, address, bytes_, stream))
    arguments = ((int(memory), 0.5, COUNT), (ctypes.c_void_p, ctypes.c_float, ctypes.c_uint))
    blocks = (COUNT + 127) // 128
    check(cu.cuLaunchKernel(function, blocks, 1, 1, 128, 1, 1, 0, stream, arguments, 0))
    check(cu.cuMemcpyDtoHAsync(address, memory, bytes_, stream))
    check(cu.cuStreamSynchronize(stream))
    check(cu.cuMemFree(memory))
    return sum(value == 0.5 * i for i, value in enumerate(values))


def main() -> int:
    """Exit status."""
    check(cu.cuInit(0))
    device = check(cu.cuDeviceGet(0))
    check(cu.cuCtxSetCurrent(check(cu.cuDevicePrimaryCtxRetain(device))))
    module = check(cu.cuModuleLoadData(PTX))
    function = check(cu.cuModuleGetFunction(module, b"scale"))
    stream = check(cu.cuStreamCreate(cu.CUstream_flags.CU_STREAM_NON_BLOCKING))
    right = run(stream, function)
    check(cu.cuStreamDestroy(stream))
    check(cu.cuModuleUnload(module))
    check(cu.cuDevicePrimaryCtxRelease(device))
    print(f"cuda_python: {right} of {COUNT} right")
    return 0 if right == COUNT else 1


if __name__ == "__main__":
    sys.exit(main())
