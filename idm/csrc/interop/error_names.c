/* SPDX-License-Identifier: Apache-2.0
 *
 * Names and descriptions of CUresult. Numbers and names are CUDA's; the descriptions are our own.
 */
#include "interop.h"

struct error {
    int number;
    const char *name;
    const char *description;
};

/* Sorted by number. */
static const struct error errors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "an argument is out of range or a required pointer is null"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "not enough memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "the driver is not initialized; call cuInit first"},
    {4, "CUDA_ERROR_DEINITIALIZED", "the driver has shut down"},
    {5, "CUDA_ERROR_PROFILER_DISABLED", "profiling is disabled"},
    {6, "CUDA_ERROR_PROFILER_NOT_INITIALIZED", "the profiler is not initialized"},
    {7, "CUDA_ERROR_PROFILER_ALREADY_STARTED", "the profiler already runs"},
    {8, "CUDA_ERROR_PROFILER_ALREADY_STOPPED", "the profiler does not run"},
    {34, "CUDA_ERROR_STUB_LIBRARY", "a stub of the driver library is loaded, not the library itself"},
    {36, "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", "the call needs a newer driver"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "the device is not available now"},
    {47, "CUDA_ERROR_MULTICAST_RESOURCE_FULL", "no multicast resources are left"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA device found"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "no device has that number"},
    {102, "CUDA_ERROR_DEVICE_NOT_LICENSED", "the device has no license for this"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "the kernel image is not valid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "the context is not valid, or none is current"},
    {202, "CUDA_ERROR_CONTEXT_ALREADY_CURRENT", "the context is current already"},
    {205, "CUDA_ERROR_MAP_FAILED", "mapping failed"},
    {206, "CUDA_ERROR_UNMAP_FAILED", "unmapping failed"},
    {207, "CUDA_ERROR_ARRAY_IS_MAPPED", "the array is mapped"},
    {208, "CUDA_ERROR_ALREADY_MAPPED", "the resource is mapped already"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "the image has no code for this device"},
    {210, "CUDA_ERROR_ALREADY_ACQUIRED", "the resource is acquired already"},
    {211, "CUDA_ERROR_NOT_MAPPED", "the resource is not mapped"},
    {212, "CUDA_ERROR_NOT_MAPPED_AS_ARRAY", "the resource is not mapped as an array"},
    {213, "CUDA_ERROR_NOT_MAPPED_AS_POINTER", "the resource is not mapped as a pointer"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "memory error that could not be corrected"},
    {215, "CUDA_ERROR_UNSUPPORTED_LIMIT", "the device does not support this limit"},
    {216, "CUDA_ERROR_CONTEXT_ALREADY_IN_USE", "another thread uses the context"},
    {217, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED", "these devices cannot access each other's memory"},
    {218, "CUDA_ERROR_INVALID_PTX", "the PTX code could not be compiled"},
    {219, "CUDA_ERROR_INVALID_GRAPHICS_CONTEXT", "the graphics context is not valid"},
    {220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", "NVLink error that could not be corrected"},
    {221, "CUDA_ERROR_JIT_COMPILER_NOT_FOUND", "the PTX compiler is missing"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the PTX version is newer than the compiler"},
    {223, "CUDA_ERROR_JIT_COMPILATION_DISABLED", "compiling PTX is disabled"},
    {224, "CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY", "execution affinity is not supported here"},
    {225, "CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC", "synchronizing inside a kernel is not supported"},
    {226, "CUDA_ERROR_CONTAINED", "the error was contained; the process must end"},
    {227, "CUDA_ERROR_INSUFFICIENT_LOADER_VERSION", "the loader is too old for this image"},
    {300, "CUDA_ERROR_INVALID_SOURCE", "the source is not valid"},
    {301, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {302, "CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND", "a symbol of a shared object was not found"},
    {303, "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", "a shared object could not be initialized"},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "a system call failed"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "the handle is not valid"},
    {401, "CUDA_ERROR_ILLEGAL_STATE", "the object is in a state that does not allow this"},
    {402, "CUDA_ERROR_LOSSY_QUERY", "the query would lose information"},
    {500, "CUDA_ERROR_NOT_FOUND", "no such symbol or object"},
    {600, "CUDA_ERROR_NOT_READY", "the work has not finished yet"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "a kernel accessed memory that is not allocated"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "the launch needs more resources than there are"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the kernel ran too long"},
    {703, "CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING", "the launch uses incompatible texturing"},
    {704, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED", "peer access is enabled already"},
    {705, "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED", "peer access is not enabled"},
    {708, "CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", "the primary context exists already"},
    {709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "the context is destroyed"},
    {710, "CUDA_ERROR_ASSERT", "an assertion failed in a kernel"},
    {711, "CUDA_ERROR_TOO_MANY_PEERS", "too many peers"},
    {712, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "the host memory is registered already"},
    {713, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "the host memory is not registered"},
    {714, "CUDA_ERROR_HARDWARE_STACK_ERROR", "call stack error on the device"},
    {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "a kernel executed an illegal instruction"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "a kernel accessed a misaligned address"},
    {717, "CUDA_ERROR_INVALID_ADDRESS_SPACE", "an instruction used the wrong address space"},
    {718, "CUDA_ERROR_INVALID_PC", "the program counter left the kernel"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "a kernel failed"},
    {720, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks for a cooperative launch"},
    {721, "CUDA_ERROR_TENSOR_MEMORY_LEAK", "a kernel ended without freeing tensor memory"},
    {800, "CUDA_ERROR_NOT_PERMITTED", "not permitted"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "not supported"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY", "the system is not ready for CUDA"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "driver components have different versions"},
    {804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
     "forward compatibility is not supported on this device"},
    {805, "CUDA_ERROR_MPS_CONNECTION_FAILED", "MPS: no connection to the control daemon"},
    {806, "CUDA_ERROR_MPS_RPC_FAILURE", "MPS: a remote call failed"},
    {807, "CUDA_ERROR_MPS_SERVER_NOT_READY", "MPS: the daemon is not ready"},
    {808, "CUDA_ERROR_MPS_MAX_CLIENTS_REACHED", "MPS: too many processes"},
    {809, "CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED", "MPS: too many connections"},
    {810, "CUDA_ERROR_MPS_CLIENT_TERMINATED", "MPS: the process was ended"},
    {811, "CUDA_ERROR_CDP_NOT_SUPPORTED", "launching kernels from kernels is not supported"},
    {812, "CUDA_ERROR_CDP_VERSION_MISMATCH", "versions of the device runtime do not match"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "not allowed while a stream is captured"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "the capture is invalid after an earlier error"},
    {902, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "the call would merge two captures"},
    {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "the stream is not in this capture"},
    {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED",
     "the capture has work that did not rejoin its first stream"},
    {905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "the call would cross the border of the capture"},
    {906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "the call waits implicitly for the null stream"},
    {907, "CUDA_ERROR_CAPTURED_EVENT", "the event is part of a capture"},
    {908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "another thread began the capture"},
    {909, "CUDA_ERROR_TIMEOUT", "timed out"},
    {910, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", "the graph differs too much to update"},
    {911, "CUDA_ERROR_EXTERNAL_DEVICE", "a device outside CUDA failed"},
    {912, "CUDA_ERROR_INVALID_CLUSTER_SIZE", "the cluster size is not valid"},
    {913, "CUDA_ERROR_FUNCTION_NOT_LOADED", "the function is not loaded"},
    {914, "CUDA_ERROR_INVALID_RESOURCE_TYPE", "wrong type of resource"},
    {915, "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION", "the resources are configured wrongly"},
    {916, "CUDA_ERROR_KEY_ROTATION", "the key was rotated"},
    {917, "CUDA_ERROR_STREAM_DETACHED", "the stream is detached"},
    {918, "CUDA_ERROR_GRAPH_RECAPTURE_FAILURE", "the graph could not be captured again"},
    {919, "CUDA_ERROR_FABRIC_NOT_READY", "the fabric is not ready"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static const struct error *find(int number)
{
    size_t low = 0, high = sizeof(errors) / sizeof(errors[0]);

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (errors[middle].number == number)
            return &errors[middle];
        if (errors[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *interop_error_name(int error)
{
    const struct error *found = find(error);

    return found ? found->name : NULL;
}

const char *interop_error_string(int error)
{
    const struct error *found = find(error);

    return found ? found->description : NULL;
}
