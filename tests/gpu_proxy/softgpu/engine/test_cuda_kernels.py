# SPDX-License-Identifier: Apache-2.0

"""Kernels as nvcc compiles them, checked against numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from softgpu_harness import Gpu, Image, KernelFault, cuda_to_ptx

from gpu_proxy.softgpu import jobs

pytestmark = [pytest.mark.toolkit, pytest.mark.usefixtures("cuda")]

SOURCE = r"""
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <cooperative_groups.h>
#include <stdio.h>
#include <assert.h>
namespace cg = cooperative_groups;

extern "C" __global__ void saxpy(float a, const float *x, float *y, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) y[i] = a * x[i] + y[i];
}

#define T 16
extern "C" __global__ void matmul(const float *a, const float *b, float *c, int n) {
    __shared__ float as[T][T], bs[T][T];
    int row = blockIdx.y * T + threadIdx.y, col = blockIdx.x * T + threadIdx.x;
    float sum = 0;
    for (int t = 0; t < n / T; t++) {
        as[threadIdx.y][threadIdx.x] = a[row * n + t * T + threadIdx.x];
        bs[threadIdx.y][threadIdx.x] = b[(t * T + threadIdx.y) * n + col];
        __syncthreads();
        for (int k = 0; k < T; k++) sum += as[threadIdx.y][k] * bs[k][threadIdx.x];
        __syncthreads();
    }
    c[row * n + col] = sum;
}

extern "C" __global__ void block_sum(const float *in, float *out, int n) {
    extern __shared__ float cache[];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    cache[threadIdx.x] = i < n ? in[i] : 0;
    __syncthreads();
    for (int s = blockDim.x / 2; s > 0; s >>= 1) {
        if (threadIdx.x < s) cache[threadIdx.x] += cache[threadIdx.x + s];
        __syncthreads();
    }
    if (threadIdx.x == 0) atomicAdd(out, cache[0]);
}

extern "C" __global__ void warp_sum(const int *in, int *out) {
    int v = in[threadIdx.x];
    for (int d = 16; d; d >>= 1) v += __shfl_down_sync(~0u, v, d);
    if (threadIdx.x % 32 == 0) out[threadIdx.x / 32] = v;
}

extern "C" __global__ void shuffles(int *out) {
    int lane = threadIdx.x;
    out[lane] = __shfl_sync(~0u, lane * 3, 5);
    out[32 + lane] = __shfl_up_sync(~0u, lane, 3);
    out[64 + lane] = __shfl_xor_sync(~0u, lane, 7);
    out[96 + lane] = __shfl_down_sync(~0u, lane, 2, 8);
    out[128 + lane] = __shfl_sync(~0u, lane, 3, 8);
}

extern "C" __global__ void votes(unsigned *out, int limit) {
    int lane = threadIdx.x;
    unsigned b = __ballot_sync(~0u, lane < limit);
    int any = __any_sync(~0u, lane == 40), all = __all_sync(~0u, lane < 32);
    unsigned m = __match_any_sync(~0u, lane / 4);
    int pred; unsigned ma = __match_all_sync(~0u, 7, &pred);
    out[lane] = b; out[32 + lane] = any * 2 + all; out[64 + lane] = m; out[96 + lane] = ma * pred;
    out[128 + lane] = __reduce_add_sync(~0u, lane);
    out[160 + lane] = __reduce_max_sync(~0u, lane ^ 5);
}

extern "C" __global__ void early(int *out, int n) {
    if (threadIdx.x >= n) return;
    __shared__ int s[1024];
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = s[n - 1 - threadIdx.x];
}

__device__ __noinline__ int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
extern "C" __global__ void fibs(int *out) { out[threadIdx.x] = fib(threadIdx.x); }
__device__ __noinline__ int deep(int n, volatile int *p) { int a[20]; for (int i = 0; i < 20; i++) a[i] = p[0] + i;
    return n == 0 ? a[p[1] % 20] : deep(n - 1, p) + a[n % 20]; }
extern "C" __global__ void recurse(int *out, int n) { out[2] = deep(n, out); }

typedef float (*op)(float, float);
__device__ __noinline__ float f_add(float a, float b) { return a + b; }
__device__ __noinline__ float f_mul(float a, float b) { return a * b; }
__device__ __noinline__ float f_sync(float a, float b) { __syncthreads(); return a - b; }
__device__ op ops[3] = {f_add, f_mul, f_sync};
extern "C" __global__ void pointers(float *x, int which) { x[threadIdx.x] = ops[which](x[threadIdx.x], 3.0f); }
extern "C" __global__ void wild_call(float *x, unsigned long long p) { x[0] = ((op)p)(x[0], 1.0f); }

struct Base { __device__ virtual int get(int x) const = 0; };
struct One : Base { int a; __device__ One(int v) : a(v) {} __device__ __noinline__ int get(int x) const override { return a + x; } };
struct Two : Base { int a; __device__ Two(int v) : a(v) {} __device__ __noinline__ int get(int x) const override { return a * x; } };
extern "C" __global__ void virtuals(int *out) {
    One o(5); Two t(7);
    const Base *b = threadIdx.x & 1 ? (const Base *)&o : (const Base *)&t;
    out[threadIdx.x] = b->get(threadIdx.x);
}

__constant__ float weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
__device__ int counter = 5;
__device__ int *where = &counter;
extern "C" __global__ void globals(float *out, int i) { out[0] = weights[i]; atomicAdd(where, 10); }

extern "C" __global__ void locals(int *out, int n) {
    int a[32];
    for (int i = 0; i < 32; i++) a[i] = i * n;
    for (int i = 0; i < n; i++) a[(i * 7) % 32] += a[(i * 3 + n) % 32];
    int s = 0;
    for (int i = 0; i < 32; i++) s += a[i] * (i + 1);
    out[threadIdx.x] = s;
}

struct Big { int n; double d[5]; char c; };
extern "C" __global__ void by_value(double *out, Big b, int i) { out[0] = b.d[i] + b.n + b.c; }

extern "C" __global__ void halves(const __half *a, const __half *b, __half *o, const __half2 *c, __half2 *p, int n) {
    int i = threadIdx.x;
    o[i] = __hadd(a[i], b[i]); o[n + i] = __hmul(a[i], b[i]); o[2 * n + i] = __hfma(a[i], b[i], a[i]);
    o[3 * n + i] = __hdiv(a[i], b[i]); o[4 * n + i] = hsqrt(__habs(a[i])); o[5 * n + i] = __hmax(a[i], b[i]);
    o[6 * n + i] = __float2half(__half2float(a[i]) * 3.1f); o[7 * n + i] = __hlt(a[i], b[i]) ? a[i] : b[i];
    p[i] = __hfma2(c[i], c[i], c[i]);
}
extern "C" __global__ void bf16(const __nv_bfloat16 *a, const __nv_bfloat16 *b, __nv_bfloat16 *o, int n) {
    int i = threadIdx.x;
    o[i] = __hadd(a[i], b[i]); o[n + i] = __hmul(a[i], b[i]); o[2 * n + i] = __hfma(a[i], b[i], a[i]);
    o[3 * n + i] = __float2bfloat16(__bfloat162float(a[i]) * 1.7f);
}

extern "C" __global__ void maths(const float *x, float *o, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float v = x[i];
    o[i] = sinf(v); o[n + i] = cosf(v); o[2 * n + i] = expf(v); o[3 * n + i] = logf(fabsf(v)); o[4 * n + i] = tanhf(v);
    o[5 * n + i] = sqrtf(fabsf(v)); o[6 * n + i] = 1.0f / v; o[7 * n + i] = powf(fabsf(v), 1.5f); o[8 * n + i] = erff(v);
    o[9 * n + i] = atan2f(v, 2.0f); o[10 * n + i] = rsqrtf(fabsf(v)); o[11 * n + i] = fmodf(v, 0.7f);
}
extern "C" __global__ void dmaths(const double *x, double *o, int n) {
    int i = threadIdx.x;
    double v = x[i];
    o[i] = sin(v); o[n + i] = exp(v); o[2 * n + i] = log(fabs(v)); o[3 * n + i] = 1.0 / v; o[4 * n + i] = sqrt(fabs(v));
    o[5 * n + i] = pow(fabs(v), 0.3); o[6 * n + i] = v / 3.7; o[7 * n + i] = tan(v); o[8 * n + i] = erf(v);
    o[9 * n + i] = rsqrt(fabs(v)); o[10 * n + i] = fma(v, v, 1e-9); o[11 * n + i] = cbrt(v);
}

extern "C" __global__ void prints(const char *unused, int n) {
    printf("i=%d f=%.3f s=%s c=%c x=%llx %% %5d|%-5d|\n", n, 2.5, "text", 'z', 0x123456789abcULL, 42, 43);
}
extern "C" __global__ void asserts(int n) { assert(n == 3); }
extern "C" __global__ void traps(int n) { if (n) __trap(); }
extern "C" __global__ void wild_store(int *p, long long off) { p[off] = 1; }
extern "C" __global__ void wild_load(int *p, long long off) { p[0] = p[off]; }
extern "C" __global__ void forever(volatile int *p) { while (true) { } }
extern "C" __global__ void spin(volatile int *p) { while (p[0] == 0) { } }
extern "C" __global__ void handoff(volatile int *flag, int *out) {
    if (threadIdx.x == 0) { while (flag[0] == 0) { } out[0] = flag[1]; }
    if (threadIdx.x == 33) { flag[1] = 77; __threadfence(); flag[0] = 1; }
}
extern "C" __global__ void shared_oob(int *p, int i) { __shared__ int s[32]; s[threadIdx.x] = i; __syncthreads(); p[0] = s[i]; }
extern "C" __global__ void grid_sum(int *x, int n) {
    auto g = cg::this_grid();
    x[g.thread_rank()] = g.thread_rank();
    g.sync();
    int s = 0;
    for (int i = 0; i < n; i++) s += x[i];
    g.sync();
    x[g.thread_rank()] = s;
}
extern "C" __global__ void active(unsigned *out) {
    if (threadIdx.x & 1) {
        unsigned m = __activemask();
        out[threadIdx.x] = __shfl_sync(m, threadIdx.x, 3) * 100 + __popc(m);
    }
}
extern "C" __global__ void coalesced(int *count, const int *in) {
    if (in[threadIdx.x] > 10) {
        auto g = cg::coalesced_threads();
        int base;
        if (g.thread_rank() == 0) base = atomicAdd(count, g.size());
        base = g.shfl(base, 0);
        count[1 + base + g.thread_rank()] = in[threadIdx.x];
    }
}
extern "C" __global__ void tiles(int *out) {
    auto tile = cg::tiled_partition<8>(cg::this_thread_block());
    int v = threadIdx.x;
    for (int d = 4; d; d >>= 1) v += tile.shfl_xor(v, d);
    out[threadIdx.x] = v;
}
extern "C" __global__ void histogram(const unsigned char *in, int *bins, int n) {
    __shared__ int local[256];
    for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&local[in[i]], 1);
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&bins[i], local[i]);
}
extern "C" __global__ void ids(int *out) {
    int i = ((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x) * blockDim.x * blockDim.y * blockDim.z
          + (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[i] = threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z + 1000 * blockIdx.x + 10000 * blockIdx.y + 100000 * blockIdx.z;
}
extern "C" __global__ void sync_count(int *out) {
    int c = __syncthreads_count(threadIdx.x % 3 == 0), a = __syncthreads_and(threadIdx.x < 64), o = __syncthreads_or(threadIdx.x == 9);
    out[threadIdx.x] = c * 4 + a * 2 + o;
}
extern "C" __global__ void divisions(const long long *a, const long long *b, long long *o, int n) {
    int i = threadIdx.x;
    o[i] = a[i] / b[i]; o[n + i] = a[i] % b[i];
    o[2 * n + i] = (unsigned)a[i] / (unsigned)b[i]; o[3 * n + i] = (int)a[i] % (int)b[i];
}
extern "C" __global__ void cas_add(double *out, double v) {
    unsigned long long *p = (unsigned long long *)out, old = *p, seen;
    do { seen = old; old = atomicCAS(p, seen, __double_as_longlong(v + __longlong_as_double(seen))); } while (seen != old);
}
extern "C" __global__ void lock_add(int *lock, int *value) {
    bool done = false;
    while (!done) {
        if (atomicCAS(lock, 0, 1) == 0) { *(volatile int *)value += 1; __threadfence(); atomicExch(lock, 0); done = true; }
    }
}
"""


@pytest.fixture(scope="module", params=["optimised", "debug", "lazy"])
def build(request: pytest.FixtureRequest, cuda: None) -> str:
    """Debug code calls every function, so that barriers and shuffles happen inside of calls. The
    same code is also compiled kernel by kernel."""
    return str(request.param)


@pytest.fixture(scope="module")
def ptx(build: str) -> str:
    return cuda_to_ptx(SOURCE, *([] if build == "optimised" else ["-G"])).decode()


@pytest.fixture(scope="module")
def load(ptx: str, build: str) -> Callable[[Gpu], Image]:
    if build == "lazy":
        loaded = jobs.load(ptx.encode(), compile_small=False)
        return lambda gpu: gpu.load_lazily(ptx, loaded)
    compiled = jobs.compile_whole(ptx.encode())
    return lambda gpu: gpu.load_object(compiled)


@pytest.fixture
def image(gpu: Gpu, load: Callable[[Gpu], Image]) -> Iterator[Image]:
    loaded = load(gpu)
    yield loaded
    loaded.unload()


def test_saxpy(gpu: Gpu, image: Image) -> None:
    x, y = np.arange(10_000, dtype=np.float32), np.ones(10_000, np.float32)
    out = gpu.put(y)
    image.run("saxpy", 7, 128, np.float32(2.5), gpu.put(x), out, 10_000)
    assert np.allclose(out.get(), 2.5 * x + y)


def test_matmul(gpu: Gpu, image: Image) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random((64, 64), np.float32), rng.random((64, 64), np.float32)
    out = gpu.zeros(64 * 64, np.float32)
    image.run("matmul", (4, 4), (16, 16), gpu.put(a), gpu.put(b), out, 64)
    assert np.allclose(out.get().reshape(64, 64), a @ b, rtol=1e-5)


def test_block_sum(gpu: Gpu, image: Image) -> None:
    values = np.random.default_rng(3).integers(0, 9, 5000).astype(np.float32)
    out = gpu.zeros(1, np.float32)
    image.run("block_sum", 20, 256, gpu.put(values), out, 5000, shared=1024)
    assert out.get()[0] == values.sum()


def test_warp_sum(gpu: Gpu, image: Image) -> None:
    values = np.arange(128, dtype=np.int32)
    out = gpu.zeros(4, np.int32)
    image.run("warp_sum", 1, 128, gpu.put(values), out)
    assert out.get().tolist() == values.reshape(4, 32).sum(1).tolist()


def test_shuffles(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(160, np.int32)
    image.run("shuffles", 1, 32, out)
    got, lane = out.get().reshape(5, 32), np.arange(32)
    assert (got[0] == 15).all()
    assert (got[1] == np.where(lane >= 3, lane - 3, lane)).all()
    assert (got[2] == lane ^ 7).all()
    assert (got[3] == np.where(lane % 8 < 6, lane + 2, lane)).all()
    assert (got[4] == lane // 8 * 8 + 3).all()


def test_votes(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(192, np.uint32)
    image.run("votes", 1, 32, out, 9)
    got, lane = out.get().reshape(6, 32), np.arange(32)
    assert (got[0] == 0x1FF).all()
    assert (got[1] == 1).all()
    assert (got[2] == 15 << (lane // 4 * 4)).all()
    assert (got[3] == 0xFFFFFFFF).all()
    assert (got[4] == 496).all()
    assert (got[5] == 31).all()


@pytest.mark.parametrize(("threads", "n"), [(64, 40), (1024, 1000), (33, 1), (256, 256)])
def test_early_return_before_a_barrier(gpu: Gpu, image: Image, threads: int, n: int) -> None:
    out = gpu.zeros(n, np.int32)
    image.run("early", 1, threads, out, n)
    assert out.get().tolist() == list(range(n))[::-1]


def test_recursion(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(20, np.int32)
    image.run("fibs", 1, 20, out)
    assert out.get()[:10].tolist() == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
    assert out.get()[19] == 4181


def test_recursion_with_local_arrays(gpu: Gpu, image: Image) -> None:
    out = gpu.put([3, 5, 0], np.int32)
    image.run("recurse", 1, 1, out, 10)
    assert out.get()[2] == sum(3 + k for k in range(1, 11)) + 8


def test_endless_recursion_is_a_stack_overflow(gpu: Gpu, image: Image) -> None:
    with pytest.raises(KernelFault) as failed:
        image.run("recurse", 1, 1, gpu.put([3, 5, 0], np.int32), 1 << 30)
    assert failed.value.kind == "STACK_OVERFLOW"


def test_native_stack_overflow(gpu: Gpu, image: Image) -> None:
    """fib(-1 + 2**31) has no local memory: the guard page stops it."""
    ptx = cuda_to_ptx(
        "__device__ __noinline__ int down(int n, int *p) { if (n < 0) return p[0]; return down(n + p[1], p) * 3 + n; }"
        'extern "C" __global__ void k(int *p) { p[0] = down(1, p); }'
    )
    with pytest.raises(KernelFault) as failed:
        gpu.compile(ptx.decode()).run("k", 1, 1, gpu.zeros(2, np.int32))
    assert failed.value.kind == "STACK_OVERFLOW"


@pytest.mark.parametrize(("which", "expected"), [(0, 5.0), (1, 6.0), (2, -1.0)])
def test_function_pointers(gpu: Gpu, image: Image, which: int, expected: float) -> None:
    out = gpu.put(np.full(64, 2.0, np.float32))
    image.run("pointers", 1, 64, out, which)
    assert (out.get() == expected).all()


@pytest.mark.parametrize(
    "address", [0, 1, 0xF500000000000000, 0xF500000000000011, 0xF500000000001000, 2**64 - 1]
)
def test_call_through_a_wild_pointer(gpu: Gpu, image: Image, address: int) -> None:
    with pytest.raises(KernelFault) as failed:
        image.run("wild_call", 1, 1, gpu.zeros(1, np.float32), address)
    assert failed.value.kind == "ILLEGAL_INSTRUCTION"


def test_virtual_functions(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(8, np.int32)
    image.run("virtuals", 1, 8, out)
    assert out.get().tolist() == [0, 6, 14, 8, 28, 10, 42, 12]


def test_globals_and_constants(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(1, np.float32)
    image.run("globals", 2, 1, out, 3)
    assert out.get()[0] == 4
    assert int.from_bytes(image.read_global("counter"), "little") == 25


def test_local_arrays(gpu: Gpu, image: Image) -> None:
    n = 13
    a = [i * n for i in range(32)]
    for i in range(n):
        a[(i * 7) % 32] += a[(i * 3 + n) % 32]
    out = gpu.zeros(40, np.int32)
    image.run("locals", 1, 40, out, n)
    assert (out.get() == sum(v * (i + 1) for i, v in enumerate(a))).all()


def test_struct_by_value(gpu: Gpu, image: Image) -> None:
    record = np.zeros(
        1, np.dtype([("n", "i4"), ("_", "i4"), ("d", "f8", 5), ("c", "i1"), ("pad", "i1", 7)])
    )
    record["n"], record["d"], record["c"] = 3, [[1, 2, 3, 4, 5.5]], 7
    out = gpu.zeros(1, np.float64)
    image.run("by_value", 1, 1, out, record.tobytes(), 4)
    assert out.get()[0] == 15.5


def test_half_arithmetic(gpu: Gpu, image: Image) -> None:
    rng = np.random.default_rng(4)
    a, b = (rng.integers(0, 65536, 512).astype(np.uint16).view(np.float16) for _ in range(2))
    a, b = np.nan_to_num(a), np.nan_to_num(b, posinf=3, neginf=-3)
    c = rng.standard_normal(1024).astype(np.float16)
    out, pairs = gpu.zeros(8 * 512, np.float16), gpu.zeros(1024, np.float16)
    image.run("halves", 1, 512, gpu.put(a), gpu.put(b), out, gpu.put(c), pairs, 512)
    got = out.get().reshape(8, 512)
    with np.errstate(all="ignore"):
        assert np.array_equal(got[0], a + b, equal_nan=True)
        assert np.array_equal(got[1], a * b, equal_nan=True)
        exact = a.astype(np.float64) * b + a
        assert np.array_equal(got[2], exact.astype(np.float16), equal_nan=True)
        assert np.allclose(
            got[3], (a.astype(np.float32) / b).astype(np.float16), rtol=2e-3, equal_nan=True
        )
        assert np.allclose(got[4], np.sqrt(np.abs(a)), rtol=2e-3)
        assert np.array_equal(got[5], np.maximum(a, b))
        assert np.array_equal(got[6], (a.astype(np.float32) * np.float32(3.1)).astype(np.float16))
        assert np.array_equal(got[7], np.minimum(a, b))
        assert np.array_equal(pairs.get(), (c.astype(np.float64) * c + c).astype(np.float16))


def _bf16(x: np.ndarray) -> np.ndarray:
    """Round float32 to the nearest bfloat16, as float32."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def test_bfloat16(gpu: Gpu, image: Image) -> None:
    rng = np.random.default_rng(5)
    a, b = (_bf16(rng.standard_normal(256).astype(np.float32)) for _ in range(2))
    pack = [gpu.put((v.view(np.uint32) >> 16).astype(np.uint16)) for v in (a, b)]
    out = gpu.zeros(4 * 256, np.uint16)
    image.run("bf16", 1, 256, *pack, out, 256)
    got = (out.get().astype(np.uint32) << 16).view(np.float32).reshape(4, 256)
    assert np.array_equal(got[0], _bf16(a + b))
    assert np.array_equal(got[1], _bf16(a * b))
    assert np.array_equal(got[2], _bf16((a.astype(np.float64) * b + a).astype(np.float32)))
    assert np.array_equal(got[3], _bf16(a * np.float32(1.7)))


def _ulps(got: np.ndarray, exact: np.ndarray) -> float:
    spacing = np.spacing(np.abs(exact).astype(got.dtype)).astype(np.float64)
    return float(np.max(np.abs(got.astype(np.float64) - exact) / spacing))


def test_float_functions_within_their_stated_error(gpu: Gpu, image: Image) -> None:
    import math

    n = 2000
    x = np.random.default_rng(6).uniform(-20, 20, n).astype(np.float32)
    out = gpu.zeros(12 * n, np.float32)
    image.run("maths", 8, 256, gpu.put(x), out, n)
    got, wide = out.get().reshape(12, n), x.astype(np.float64)
    functions = [
        np.sin,
        np.cos,
        np.exp,
        lambda v: np.log(abs(v)),
        np.tanh,
        lambda v: np.sqrt(abs(v)),
        lambda v: 1 / v,
        lambda v: abs(v) ** 1.5,
        np.vectorize(math.erf),
        lambda v: np.arctan2(v, 2.0),
        lambda v: 1 / np.sqrt(abs(v)),
        lambda v: np.fmod(v, float(np.float32(0.7))),
    ]
    limits = [2, 2, 2, 1, 2, 0.5, 0.5, 4, 2, 3, 2, 0]
    for row, function, limit in zip(got, functions, limits, strict=True):
        assert _ulps(row, function(wide)) <= limit + 0.51, function


def test_double_functions_within_their_stated_error(gpu: Gpu, image: Image) -> None:
    import math

    x = np.random.default_rng(7).uniform(-20, 20, 256)
    out = gpu.zeros(12 * 256, np.float64)
    image.run("dmaths", 1, 256, gpu.put(x), out, 256)
    got = out.get().reshape(12, 256)
    functions = [
        np.sin,
        np.exp,
        lambda v: np.log(abs(v)),
        lambda v: 1 / v,
        lambda v: np.sqrt(abs(v)),
        lambda v: abs(v) ** 0.3,
        lambda v: v / 3.7,
        np.tan,
        np.vectorize(math.erf),
        lambda v: 1 / np.sqrt(abs(v)),
        None,
        np.cbrt,
    ]
    for row, function, limit in zip(
        got, functions, [2, 1, 1, 0, 0, 2, 0, 2, 2, 1, 0, 1], strict=True
    ):
        if function is not None:
            assert _ulps(row, function(x)) <= limit + 1, function


def test_printf(gpu: Gpu, image: Image) -> None:
    image.run("prints", 1, 1, 0, 7)
    assert gpu.printed == b"i=7 f=2.500 s=text c=z x=123456789abc %    42|43   |\n"


def test_assert(gpu: Gpu, image: Image) -> None:
    image.run("asserts", 1, 1, 3)
    with pytest.raises(KernelFault) as failed:
        image.run("asserts", 1, 1, 4)
    assert failed.value.kind == "ASSERT"
    assert b"Assertion `n == 3` failed." in gpu.printed


def test_trap(gpu: Gpu, image: Image) -> None:
    image.run("traps", 1, 1, 0)
    with pytest.raises(KernelFault) as failed:
        image.run("traps", 4, 64, 1)
    assert failed.value.kind == "TRAP"


@pytest.mark.parametrize("name", ["wild_store", "wild_load"])
@pytest.mark.parametrize("offset", [-(2**61), -(2**20), 2**27, 2**40, 2**60 - 1, 2**61 - 1])
def test_wild_pointers_fault(gpu: Gpu, image: Image, name: str, offset: int) -> None:
    """Outside the arena, in its holes, and around the ends of the address space."""
    with pytest.raises(KernelFault) as failed:
        image.run(name, 1, 1, gpu.zeros(1, np.int32), offset)
    assert failed.value.kind == "ILLEGAL_ADDRESS"
    assert failed.value.address


def test_a_pointer_to_the_engine_itself_faults(gpu: Gpu, image: Image) -> None:
    import ctypes

    victim = ctypes.create_string_buffer(64)
    with pytest.raises(KernelFault) as failed:
        image.run("wild_store", 1, 1, ctypes.addressof(victim), 0)
    assert failed.value.kind == "ILLEGAL_ADDRESS"
    assert failed.value.address == ctypes.addressof(victim)
    assert victim.raw == bytes(64)


def test_registered_host_memory(gpu: Gpu, image: Image) -> None:
    import ctypes

    host = ctypes.create_string_buffer(64)
    gpu.allowed = [(ctypes.addressof(host), 64)]
    image.run("wild_store", 1, 1, ctypes.addressof(host), 2)
    assert host.raw[8] == 1
    with pytest.raises(KernelFault):
        image.run("wild_store", 1, 1, ctypes.addressof(host), 16)


def test_misaligned(gpu: Gpu, image: Image) -> None:
    with pytest.raises(KernelFault) as failed:
        image.run("wild_store", 1, 1, gpu.zeros(4, np.int32).address + 2, 0)
    assert failed.value.kind == "MISALIGNED"


@pytest.mark.parametrize("name", ["forever", "spin"])
@pytest.mark.parametrize("grid", [1, 50])
def test_cancel(gpu: Gpu, image: Image, name: str, grid: int) -> None:
    import ctypes
    import threading

    cancel = ctypes.c_int(0)
    timer = threading.Timer(0.1, lambda: setattr(cancel, "value", 1))
    timer.start()
    with pytest.raises(KernelFault) as failed:
        image.run(name, grid, 64, gpu.zeros(1, np.int32), cancel=ctypes.addressof(cancel))
    timer.join()
    assert failed.value.kind == "CANCELLED"


def test_a_thread_may_wait_for_a_later_one(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(1, np.int32)
    image.run("handoff", 1, 64, gpu.zeros(2, np.int32), out)
    assert out.get()[0] == 77


@pytest.mark.parametrize("index", [32, 1000, -300, 2**29])
def test_outside_shared_memory(gpu: Gpu, image: Image, index: int) -> None:
    with pytest.raises(KernelFault) as failed:
        image.run("shared_oob", 1, 32, gpu.zeros(1, np.int32), index)
    assert failed.value.kind == "ILLEGAL_ADDRESS"


def test_cooperative_grid_barrier(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(16 * 64, np.int32)
    image.run("grid_sum", 16, 64, out, 16 * 64, cooperative=True)
    assert (out.get() == 16 * 64 * (16 * 64 - 1) // 2).all()


def test_grid_barrier_without_cooperative_launch_traps(gpu: Gpu, image: Image) -> None:
    with pytest.raises(KernelFault) as failed:
        image.run("grid_sum", 1, 64, gpu.zeros(64, np.int32), 64)
    assert failed.value.kind == "TRAP"


def test_activemask(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(32, np.uint32)
    image.run("active", 1, 32, out)
    assert out.get().tolist() == [316 if lane & 1 else 0 for lane in range(32)]


def test_coalesced_group(gpu: Gpu, image: Image) -> None:
    values = np.arange(64, dtype=np.int32) % 21
    count = gpu.zeros(65, np.int32)
    image.run("coalesced", 1, 64, count, gpu.put(values))
    wanted = sorted(v for v in values if v > 10)
    assert count.get()[0] == len(wanted)
    assert sorted(count.get()[1 : 1 + len(wanted)]) == wanted


def test_tiles(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(64, np.int32)
    image.run("tiles", 1, 64, out)
    assert (out.get() == np.repeat(np.arange(64).reshape(8, 8).sum(1), 8)).all()


def test_histogram(gpu: Gpu, image: Image) -> None:
    data = np.random.default_rng(8).integers(0, 256, 10_000).astype(np.uint8)
    bins = gpu.zeros(256, np.int32)
    image.run("histogram", 8, 100, gpu.put(data), bins, 10_000)
    assert (bins.get() == np.bincount(data, minlength=256)).all()


def test_three_dimensions(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(2 * 3 * 2 * 24, np.int32)
    image.run("ids", (2, 3, 2), (4, 3, 2), out)
    wanted = [
        x + 10 * y + 100 * z + 1000 * bx + 10000 * by + 100000 * bz
        for bz in range(2)
        for by in range(3)
        for bx in range(2)
        for z in range(2)
        for y in range(3)
        for x in range(4)
    ]
    assert out.get().tolist() == wanted


def test_reducing_barriers(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(96, np.int32)
    image.run("sync_count", 1, 96, out)
    assert (out.get() == 32 * 4 + 0 * 2 + 1).all()


def test_divisions(gpu: Gpu, image: Image) -> None:
    a = np.array([7, -7, 2**63 - 1, -(2**63), -5, -(2**63), -1, 123456789123], np.int64)
    b = np.array([2, 2, -3, -1, 0, 3, 0, -1000], np.int64)
    out = gpu.zeros(32, np.int64)
    image.run("divisions", 1, 8, gpu.put(a), gpu.put(b), out, 8)
    got = out.get().reshape(4, 8)
    assert got[0].tolist() == [
        3,
        -3,
        -((2**63 - 1) // 3),
        -(2**63),
        -1,
        -((2**63) // 3),
        -1,
        -123456789,
    ]
    assert got[1, :4].tolist() == [1, -1, 1, 0]


def test_compare_and_swap_loop(gpu: Gpu, image: Image) -> None:
    out = gpu.zeros(1, np.float64)
    image.run("cas_add", 20, 64, out, np.float64(0.5))
    assert out.get()[0] == 640


def test_spin_lock(gpu: Gpu, image: Image) -> None:
    lock, value = gpu.zeros(1, np.int32), gpu.zeros(1, np.int32)
    image.run("lock_add", 8, 64, lock, value)
    assert value.get()[0] == 512
