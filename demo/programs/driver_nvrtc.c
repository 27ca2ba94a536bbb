/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver interface without a toolkit: compiles kernels with NVRTC for the device that it finds, and runs
 * them. Needs only a C compiler; the environment variable NVRTC_PATH names libnvrtc.so if the loader does
 * not find it.
 */
#include "driver_api.h"

enum { COUNT = 1 << 20, N = 128, TILE = 16, THREADS = 256, MAJOR = 75, MINOR = 76 };

static const char kernels[] =
    "extern \"C\" __global__ void vadd(const float *a, const float *b, float *c, int n)\n"
    "{\n"
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
    "    if (i < n) c[i] = a[i] + b[i];\n"
    "}\n"
    "extern \"C\" __global__ void matmul(const float *a, const float *b, float *c, int n)\n"
    "{\n"
    "    __shared__ float s[16][16], t[16][16];\n"
    "    int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;\n"
    "    float sum = 0;\n"
    "    for (int start = 0; start < n; start += 16) {\n"
    "        s[threadIdx.y][threadIdx.x] = a[row * n + start + threadIdx.x];\n"
    "        t[threadIdx.y][threadIdx.x] = b[(start + threadIdx.y) * n + column];\n"
    "        __syncthreads();\n"
    "        for (int k = 0; k < 16; k++) sum += s[threadIdx.y][k] * t[k][threadIdx.x];\n"
    "        __syncthreads();\n"
    "    }\n"
    "    c[row * n + column] = sum;\n"
    "}\n"
    "extern \"C\" __global__ void reduce(const float *a, unsigned long long *total, int n)\n"
    "{\n"
    "    __shared__ unsigned long long sums[256];\n"
    "    unsigned long long sum = 0;\n"
    "    for (int i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256)\n"
    "        sum += (unsigned long long)a[i];\n"
    "    sums[threadIdx.x] = sum;\n"
    "    for (int step = 128; step > 0; step /= 2) {\n"
    "        __syncthreads();\n"
    "        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];\n"
    "    }\n"
    "    if (threadIdx.x == 0) atomicAdd(total, sums[0]);\n"
    "}\n";

static void print_log(program made)
{
    size_t bytes = 0;

    RTC(log_size(made, &bytes));
    char *text = allocate(bytes + 1);

    RTC(log(made, text));
    fprintf(stderr, "%s\n", text);
    free(text);
}

/* PTX of the kernels, for the device's compute capability; the caller frees it. */
static char *compile_kernels(int device)
{
    int major = 0, minor = 0;
    char option[64];
    const char *options[] = {option};
    program made;
    size_t bytes = 0;

    CUDA(device_get_attribute(&major, MAJOR, device));
    CUDA(device_get_attribute(&minor, MINOR, device));
    snprintf(option, sizeof(option), "--gpu-architecture=compute_%d%d", major, minor);
    RTC(create(&made, kernels, "kernels.cu", 0, NULL, NULL));
    int error = rtc.compile(made, 1, options);

    if (error)
        print_log(made);
    check_compiler(error, option);
    RTC(ptx_size(made, &bytes));
    char *text = allocate(bytes);

    RTC(ptx(made, text));
    RTC(destroy(&made));
    return text;
}

static device_pointer upload(const void *data, size_t bytes)
{
    device_pointer memory = 0;

    CUDA(alloc(&memory, bytes));
    CUDA(copy_in(memory, data, bytes));
    return memory;
}

static int report(const char *name, long right, long all)
{
    printf("%s: %ld of %ld right\n", name, right, all);
    return right == all ? 0 : 1;
}

static int run_vadd(function kernel)
{
    size_t bytes = COUNT * sizeof(float);
    float *a = allocate(bytes), *b = allocate(bytes), *c = allocate(bytes);
    int n = COUNT;
    long right = 0;

    for (int i = 0; i < COUNT; i++) {
        a[i] = (float)i;
        b[i] = 0.25f * (float)(i % 100);
    }
    device_pointer da = upload(a, bytes), db = upload(b, bytes), dc = upload(c, bytes);

    CUDA(launch(kernel, COUNT / THREADS, 1, 1, THREADS, 1, 1, 0, NULL, (void *[]){&da, &db, &dc, &n}, NULL));
    CUDA(copy_out(c, dc, bytes));
    for (int i = 0; i < COUNT; i++)
        right += c[i] == a[i] + b[i];
    CUDA(free(da));
    CUDA(free(db));
    CUDA(free(dc));
    free(a);
    free(b);
    free(c);
    return report("driver vadd", right, COUNT);
}

static long count_products(const float *a, const float *b, const float *c)
{
    long right = 0;

    for (int row = 0; row < N; row++)
        for (int column = 0; column < N; column++) {
            float sum = 0;

            for (int k = 0; k < N; k++)
                sum += a[row * N + k] * b[k * N + column];
            right += c[row * N + column] == sum;
        }
    return right;
}

static int run_matmul(function kernel)
{
    size_t bytes = N * N * sizeof(float);
    float *a = allocate(bytes), *b = allocate(bytes), *c = allocate(bytes);
    int n = N;

    /* Small whole numbers, so that the products are exact in any order of summing. */
    for (int i = 0; i < N * N; i++) {
        a[i] = (float)((i * 7) % 11 - 5);
        b[i] = (float)((i * 5) % 13 - 6);
    }
    device_pointer da = upload(a, bytes), db = upload(b, bytes), dc = upload(c, bytes);

    CUDA(launch(kernel, N / TILE, N / TILE, 1, TILE, TILE, 1, 0, NULL, (void *[]){&da, &db, &dc, &n}, NULL));
    CUDA(copy_out(c, dc, bytes));
    long right = count_products(a, b, c);

    CUDA(free(da));
    CUDA(free(db));
    CUDA(free(dc));
    free(a);
    free(b);
    free(c);
    return report("driver matmul", right, N * N);
}

static int run_reduce(function kernel)
{
    float *a = allocate(COUNT * sizeof(float));
    uint64_t expected = 0, found = 0;
    device_pointer total = 0;
    int n = COUNT;

    for (int i = 0; i < COUNT; i++) {
        a[i] = (float)(i % 1013);
        expected += (uint64_t)(i % 1013);
    }
    device_pointer da = upload(a, COUNT * sizeof(float));

    CUDA(alloc(&total, sizeof(found)));
    CUDA(set(total, 0, sizeof(found)));
    CUDA(launch(kernel, 64, 1, 1, THREADS, 1, 1, 0, NULL, (void *[]){&da, &total, &n}, NULL));
    CUDA(synchronize());
    CUDA(copy_out(&found, total, sizeof(found)));
    CUDA(free(da));
    CUDA(free(total));
    free(a);
    return report("driver reduce", found == expected, 1);
}

static function find(module loaded, const char *name)
{
    function found = NULL;

    CUDA(module_get_function(&found, loaded, name));
    return found;
}

int main(void)
{
    char name[128] = "";
    int device = 0;
    context current = NULL;
    module loaded = NULL;

    open_driver();
    open_compiler();
    CUDA(init(0));
    CUDA(device_get(&device, 0));
    CUDA(device_get_name(name, sizeof(name), device));
    printf("device 0: %s\n", name);
    CUDA(context_retain(&current, device));
    CUDA(context_set(current));
    char *ptx = compile_kernels(device);

    CUDA(module_load(&loaded, ptx));
    free(ptx);
    int wrong = run_vadd(find(loaded, "vadd"));

    wrong |= run_matmul(find(loaded, "matmul"));
    wrong |= run_reduce(find(loaded, "reduce"));
    CUDA(module_unload(loaded));
    CUDA(context_set(NULL));
    CUDA(context_release(device));
    return wrong;
}
