/* SPDX-License-Identifier: Apache-2.0
 *
 * What libcudart and the CUDA libraries ask of libcuda.so.1 beyond its plain functions: export tables
 * (cuGetExportTable), context local storage, function look-up (cuGetProcAddress) and error names.
 *
 * Linked into libvgpu and into the software GPU's libcuda.so.1; it needs libc, the hooks below and the
 * generated list of functions (idm.gen.proc_table). Every int result is a CUresult.
 *
 * Locks: the list of tables and the context storage each have one, never held while a hook or a destructor
 * runs. Nothing here waits.
 */
#ifndef IDM_INTEROP_H
#define IDM_INTEROP_H

#include <stddef.h>
#include <stdint.h>

enum interop_limits {
    INTEROP_STUB_TABLES = 64,       /* unknown export tables that one process may ask for */
    INTEROP_STUB_SLOTS = 128,       /* slots of such a table, its size word included */
    INTEROP_STORAGE_ENTRIES = 4096, /* (context, key) pairs; a power of two */
    INTEROP_MODULE_FUNCTIONS = 65536, /* functions enumerated of one module */
    INTEROP_DEVICES = 256,          /* devices that the integrity message covers */
};

enum interop_result {
    INTEROP_SUCCESS = 0,
    INTEROP_INVALID_VALUE = 1,
    INTEROP_OUT_OF_MEMORY = 2,
    INTEROP_NOT_INITIALIZED = 3,
    INTEROP_INVALID_CONTEXT = 201,
    INTEROP_INVALID_HANDLE = 400,
    INTEROP_NOT_FOUND = 500,
    INTEROP_NOT_SUPPORTED = 801,
};

/* What the library around this code provides. All are required, may be called from any thread, and return
 * a CUresult where they return int, except the first two. */
struct interop_hooks {
    int (*driver_version)(void); /* as cuDriverGetVersion reports it; 0 when not known: hides nothing */
    int (*device_count)(void);   /* visible devices */
    /* As cuDeviceGetUuid and the PCI domain, bus and device attributes report them. */
    int (*device_identity)(int device, unsigned char uuid[16], int pci[3]);
    void *(*current_context)(void); /* of the calling thread, or NULL */
    /* Retain the device's primary context, as cuDevicePrimaryCtxRetain does. */
    int (*primary_context)(void **context, int device);
    /* As cuCtxGetId: a number that is never used again in this process. */
    int (*context_number)(void *context, uint64_t *number);
    /* `image` is a fatbin wrapper or a raw fatbin, as for cuModuleLoadFatBinary. */
    int (*module_load)(void **module, const void *image);
    int (*module_function_count)(unsigned *count, void *module);
    int (*module_functions)(void **functions, unsigned count, void *module);
    void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
};

/* Call once, before any other function here; `hooks` must stay. */
void interop_init(const struct interop_hooks *hooks);

/* For pthread_atfork: a child finds the tables whole. The second is for parent and child. */
void interop_before_fork(void);
void interop_after_fork(void);

/* cuGetExportTable. Unknown tables are answered with one whose slots return CUDA_ERROR_NOT_SUPPORTED. */
int interop_get_export_table(const void **table, const unsigned char uuid[16]);

/* Run the destructors of what was stored for `context`, and forget it. Call before the context is gone. */
void interop_context_destroyed(void *context);

/* cuGetProcAddress_v2: not finding a function is a success with *function NULL, and *status (which may be
 * NULL) says why. Functions newer than driver_version() are hidden. */
int interop_get_proc_address(const char *symbol, void **function, int cuda_version, uint64_t flags,
                             int *status);
/* cuGetProcAddress of CUDA 11, which returns CUDA_ERROR_NOT_FOUND instead. */
int interop_get_proc_address_v1(const char *symbol, void **function, int cuda_version, uint64_t flags);

enum interop_proc_flags { INTEROP_LEGACY_STREAM = 1, INTEROP_PER_THREAD_STREAM = 2 };
enum interop_proc_status { INTEROP_FOUND, INTEROP_SYMBOL_NOT_FOUND, INTEROP_VERSION_NOT_SUFFICIENT };

/* Name and description of a CUresult, or NULL for a number that is none. */
const char *interop_error_name(int error);
const char *interop_error_string(int error);

/* --- Below: only for the files of this folder, the generated list, and tests ----------------------- */

/* One function of the generated list, which is sorted by name and then by `since`. */
struct interop_proc {
    const char *name;               /* base name, which callers ask for */
    int since;                      /* CUDA version, 1000 * major + 10 * minor */
    int per_thread_since;           /* of the per-thread variant; 0: there is none */
    void (*function)(void);
    void (*per_thread)(void);
};
extern const struct interop_proc interop_procs[];
extern const size_t interop_proc_count;

extern const struct interop_hooks *interop_hooks;

/* Context local storage; a NULL context is the current one. */
typedef void interop_destructor(void *context, void *key, void *value);
int interop_storage_put(void *context, void *key, void *value, interop_destructor *destructor);
int interop_storage_delete(void *context, void *key);
void interop_storage_lock(void); /* around a fork */
void interop_storage_unlock(void);
int interop_storage_get(void **value, void *context, void *key);

/* RFC 1319, and RFC 2104 over it with a key of 16 bytes. */
struct interop_md2 {
    unsigned char state[16], checksum[16], block[16];
    unsigned used;
};
void interop_md2_start(struct interop_md2 *md2);
void interop_md2_add(struct interop_md2 *md2, const void *data, size_t bytes);
void interop_md2_finish(struct interop_md2 *md2, unsigned char digest[16]);
void interop_hmac_start(struct interop_md2 *inner, const unsigned char key[16]);
void interop_hmac_finish(struct interop_md2 *inner, const unsigned char key[16], unsigned char mac[16]);

/* Slot 1 of the integrity table, and what it signs: the addresses that the caller knows. */
int interop_integrity_check(uint32_t version, uint64_t seconds, uint64_t out[2]);
extern const void *const interop_cudart_table[];
extern const void *const interop_integrity_table[];

#endif
