# SPDX-License-Identifier: Apache-2.0
"""A CUDA program that needs only Python: a kernel, a thousand numbers, and each of them checked."""

# A kernel on the virtual GPU, by ctypes alone; every number is checked.
PROGRAM = r"""
import ctypes as C, sys
PTX = b'''
.version 7.0
.target sm_80
.address_size 64
.visible .entry triple(.param .u64 data, .param .u32 count)
{
    .reg .pred %p<2>; .reg .b32 %r<8>; .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [data]; ld.param.u32 %r1, [count];
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra DONE;
    mul.wide.u32 %rd2, %r5, 4; add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r6, [%rd3]; mul.lo.u32 %r7, %r6, 3; st.global.u32 [%rd3], %r7;
DONE:
    ret;
}
'''
cuda = C.CDLL("libcuda.so.1")
def ok(status):
    assert status == 0, status
context, module, function, data = C.c_void_p(), C.c_void_p(), C.c_void_p(), C.c_uint64()
ok(cuda.cuInit(0))
ok(cuda.cuDevicePrimaryCtxRetain(C.byref(context), 0))
ok(cuda.cuCtxSetCurrent(context))
ok(cuda.cuModuleLoadData(C.byref(module), PTX))
ok(cuda.cuModuleGetFunction(C.byref(function), module, b"triple"))
count = 1000
words = (C.c_uint32 * count)(*range(count))
ok(cuda.cuMemAlloc_v2(C.byref(data), C.c_size_t(C.sizeof(words))))
ok(cuda.cuMemcpyHtoD_v2(data, words, C.c_size_t(C.sizeof(words))))
arguments = (C.c_void_p * 2)(C.addressof(data), C.addressof(C.c_uint32(count)))
ok(cuda.cuLaunchKernel(function, 8, 1, 1, 128, 1, 1, 0, None, arguments, None))
ok(cuda.cuMemcpyDtoH_v2(words, data, C.c_size_t(C.sizeof(words))))
assert list(words) == [3 * number for number in range(count)]
free, total = C.c_size_t(), C.c_size_t()
ok(cuda.cuMemGetInfo_v2(C.byref(free), C.byref(total)))
print("right on", total.value, "bytes", flush=True)
"""
