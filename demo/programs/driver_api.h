/* SPDX-License-Identifier: Apache-2.0
 *
 * The few driver and NVRTC functions that driver_nvrtc.c calls, opened as applications that bring no CUDA of
 * their own do. No header of the vendor is needed.
 */
#ifndef DRIVER_API_H
#define DRIVER_API_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t device_pointer;
typedef struct context *context;
typedef struct module *module;
typedef struct function *function;
typedef struct stream *stream;
typedef struct program *program;

static struct {
    int (*init)(unsigned flags);
    int (*device_get)(int *device, int ordinal);
    int (*device_get_name)(char *name, int bytes, int device);
    int (*device_get_attribute)(int *value, int attribute, int device);
    int (*get_error_name)(int error, const char **name);
    int (*context_retain)(context *out, int device);
    int (*context_release)(int device);
    int (*context_set)(context current);
    int (*module_load)(module *out, const void *image);
    int (*module_unload)(module loaded);
    int (*module_get_function)(function *out, module loaded, const char *name);
    int (*alloc)(device_pointer *out, size_t bytes);
    int (*free)(device_pointer memory);
    int (*copy_in)(device_pointer to, const void *from, size_t bytes);
    int (*copy_out)(void *to, device_pointer from, size_t bytes);
    int (*set)(device_pointer memory, unsigned char value, size_t bytes);
    int (*launch)(function kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                  unsigned block_y, unsigned block_z, unsigned shared_bytes, stream queue, void **arguments,
                  void **extra);
    int (*synchronize)(void);
} cu;

static struct {
    int (*create)(program *out, const char *source, const char *name, int headers, const char *const *texts,
                  const char *const *names);
    int (*compile)(program made, int options, const char *const *option);
    int (*ptx_size)(program made, size_t *bytes);
    int (*ptx)(program made, char *text);
    int (*log_size)(program made, size_t *bytes);
    int (*log)(program made, char *text);
    int (*destroy)(program *made);
} rtc;

static void *open_library(const char *path)
{
    void *library = dlopen(path, RTLD_NOW);

    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(3);
    }
    return library;
}

static void resolve(void *library, const char *name, void *function_pointer)
{
    void **out = function_pointer;

    *out = dlsym(library, name);
    if (!*out) {
        fprintf(stderr, "%s: not found\n", name);
        exit(3);
    }
}

static void open_driver(void)
{
    void *library = open_library("libcuda.so.1");

    resolve(library, "cuInit", &cu.init);
    resolve(library, "cuDeviceGet", &cu.device_get);
    resolve(library, "cuDeviceGetName", &cu.device_get_name);
    resolve(library, "cuDeviceGetAttribute", &cu.device_get_attribute);
    resolve(library, "cuGetErrorName", &cu.get_error_name);
    resolve(library, "cuDevicePrimaryCtxRetain", &cu.context_retain);
    resolve(library, "cuDevicePrimaryCtxRelease_v2", &cu.context_release);
    resolve(library, "cuCtxSetCurrent", &cu.context_set);
    resolve(library, "cuModuleLoadData", &cu.module_load);
    resolve(library, "cuModuleUnload", &cu.module_unload);
    resolve(library, "cuModuleGetFunction", &cu.module_get_function);
    resolve(library, "cuMemAlloc_v2", &cu.alloc);
    resolve(library, "cuMemFree_v2", &cu.free);
    resolve(library, "cuMemcpyHtoD_v2", &cu.copy_in);
    resolve(library, "cuMemcpyDtoH_v2", &cu.copy_out);
    resolve(library, "cuMemsetD8_v2", &cu.set);
    resolve(library, "cuLaunchKernel", &cu.launch);
    resolve(library, "cuCtxSynchronize", &cu.synchronize);
}

static void open_compiler(void)
{
    const char *path = getenv("NVRTC_PATH");
    void *library = open_library(path ? path : "libnvrtc.so.13");

    resolve(library, "nvrtcCreateProgram", &rtc.create);
    resolve(library, "nvrtcCompileProgram", &rtc.compile);
    resolve(library, "nvrtcGetPTXSize", &rtc.ptx_size);
    resolve(library, "nvrtcGetPTX", &rtc.ptx);
    resolve(library, "nvrtcGetProgramLogSize", &rtc.log_size);
    resolve(library, "nvrtcGetProgramLog", &rtc.log);
    resolve(library, "nvrtcDestroyProgram", &rtc.destroy);
}

static void check(int error, const char *what)
{
    const char *name = NULL;

    if (!error)
        return;
    if (cu.get_error_name)
        cu.get_error_name(error, &name);
    fprintf(stderr, "%s: %s (%d)\n", what, name ? name : "error", error);
    exit(2);
}

#define CUDA(call) check(cu.call, "cu." #call)

static void check_compiler(int error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "%s: error %d\n", what, error);
    exit(2);
}

#define RTC(call) check_compiler(rtc.call, "rtc." #call)

static void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);

    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(3);
    }
    return memory;
}

#endif
