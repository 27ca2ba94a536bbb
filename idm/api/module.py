# SPDX-License-Identifier: Apache-2.0
"""Modules, libraries, kernels, functions and the linker."""

from __future__ import annotations

from .common import FUNCTION, KERNEL, LIBRARY, LINK, MODULE, TEXTURE_REFERENCE
from .table import LOCAL, POSTED, call, refused
from .types import (
    array_out,
    c_int,
    c_uint,
    creates,
    device,
    device_ptr,
    drops,
    enum,
    local,
    out,
    size,
    string_in,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Images: the front end finds an image's length, sends the matching part of it ahead, then calls.
call(0x0300, "cuModuleGetLoadingMode", 11070, LOCAL, front="module_get_loading_mode",
     no_context=True, mode_=out(enum("CUmoduleLoadingMode")))
call(0x0301, "cuModuleLoad", 2000, elsewhere=True, front="module_load", lane=True,
     module=creates(MODULE), path=string_in)
call(0x0302, "cuModuleLoadData", 2000, elsewhere=True, front="module_load_data", lane=True,
     module=creates(MODULE), image=local("const void *"))
call(0x0303, "cuModuleLoadDataEx", 2010, elsewhere=True, front="module_load_data_ex", lane=True,
     module=creates(MODULE), image=local("const void *"), count=c_uint,
     options=local("CUjit_option *"), values=local("void **"))
call(0x0304, "cuModuleLoadFatBinary", 2000, elsewhere=True, front="module_load_fat_binary",
     lane=True, module=creates(MODULE), image=local("const void *"))
call(0x0305, "cuModuleUnload", 2000, POSTED, unsafe=True, module=drops(MODULE))
call(0x0306, "cuModuleGetFunction", 2000, elsewhere=True, front="module_get_function",
     function=creates(FUNCTION, parent="module"), module=MODULE, name=string_in)
call(0x0307, "cuModuleGetGlobal_v2", 3020, front="get_global", dptr=out(device_ptr, null=True),
     bytes=out(size, null=True), module=MODULE, name=string_in)
call(0x0308, "cuModuleGetFunctionCount", 12040, count=out(c_uint), module=MODULE)
call(0x0309, "cuModuleEnumerateFunctions", 12040, front="enumerate_functions",
     functions=array_out(FUNCTION, "count"), count=c_uint, module=MODULE)
call(0x030A, "cuModuleGetTexRef", 2000, reference=creates(TEXTURE_REFERENCE, parent="module"),
     module=MODULE, name=string_in)
refused(0x030B, "cuModuleGetGlobal", 2000,
     "obsolete 32-bit interface, replaced by cuModuleGetGlobal_v2")
refused(0x030C, "cuModuleGetSurfRef", 3000,
     "surface references were replaced by surface objects in CUDA 5.0")

# Libraries: modules that belong to no context.
call(0x030D, "cuLibraryLoadData", 12000, elsewhere=True, front="library_load_data", lane=True,
     no_context=True, library=creates(LIBRARY), code=local("const void *"),
     jit_options=local("CUjit_option *"), jit_values=local("void **"), jit_count=c_uint,
     options=local("CUlibraryOption *"), values=local("void **"), count=c_uint)
call(0x030E, "cuLibraryLoadFromFile", 12000, elsewhere=True, front="library_load_from_file",
     lane=True, no_context=True, library=creates(LIBRARY), path=string_in,
     jit_options=local("CUjit_option *"), jit_values=local("void **"), jit_count=c_uint,
     options=local("CUlibraryOption *"), values=local("void **"), count=c_uint)
call(0x030F, "cuLibraryUnload", 12000, POSTED, unsafe=True, no_context=True, library=drops(LIBRARY))
call(0x0310, "cuLibraryGetKernel", 12000, elsewhere=True, front="library_get_kernel",
     no_context=True, kernel=creates(KERNEL, parent="library"), library=LIBRARY, name=string_in)
call(0x0311, "cuLibraryGetModule", 12000, module=creates(MODULE, parent="library"), library=LIBRARY)
call(0x0312, "cuLibraryGetGlobal", 12000, front="get_global", dptr=out(device_ptr, null=True),
     bytes=out(size, null=True), library=LIBRARY, name=string_in)
call(0x0313, "cuLibraryGetManaged", 12000, front="get_global", no_context=True,
     dptr=out(device_ptr, null=True), bytes=out(size, null=True), library=LIBRARY, name=string_in)
call(0x0314, "cuLibraryGetKernelCount", 12040, no_context=True, count=out(c_uint), library=LIBRARY)
call(0x0315, "cuLibraryEnumerateKernels", 12040, front="enumerate_kernels", no_context=True,
     kernels=array_out(KERNEL, "count"), count=c_uint, library=LIBRARY)
refused(0x0316, "cuLibraryGetUnifiedFunction", 12000,
     "unified functions are code for the processor of the driver domain")

# Kernels and functions: what never changes is known in the zone once a handle has been given out.
call(0x0317, "cuKernelGetFunction", 12000, LOCAL, front="kernel_get_function",
     function=out(FUNCTION), kernel=KERNEL)
call(0x0318, "cuKernelGetLibrary", 12050, LOCAL, front="kernel_get_library", no_context=True,
     library=out(LIBRARY), kernel=KERNEL)
call(0x0319, "cuKernelGetName", 12030, LOCAL, front="kernel_get_name", no_context=True,
     name=local("const char **"), kernel=KERNEL)
call(0x031A, "cuKernelGetParamCount", 13020, LOCAL, front="kernel_get_param_count", no_context=True,
     kernel=KERNEL, count=out(size))
call(0x031B, "cuKernelGetParamInfo", 12040, LOCAL, front="kernel_get_param_info", no_context=True,
     kernel=KERNEL, index=size, offset=out(size), bytes=out(size, null=True))
call(0x031C, "cuKernelGetAttribute", 12000, front="kernel_get_attribute", no_context=True,
     value=out(c_int), attribute=enum("CUfunction_attribute"), kernel=KERNEL, dev=device)
call(0x031D, "cuKernelSetAttribute", 12000, front="kernel_set_attribute", no_context=True,
     attribute=enum("CUfunction_attribute"),
     value=c_int, kernel=KERNEL, dev=device)
call(0x031E, "cuKernelSetCacheConfig", 12000, no_context=True, kernel=KERNEL,
     config=enum("CUfunc_cache"), dev=device)
call(0x031F, "cuFuncGetModule", 11000, LOCAL, front="func_get_module", module=out(MODULE),
     function=FUNCTION)
call(0x0320, "cuFuncGetName", 12030, LOCAL, front="func_get_name", no_context=True,
     name=local("const char **"), function=FUNCTION)
call(0x0321, "cuFuncGetParamCount", 13020, LOCAL, front="func_get_param_count", no_context=True,
     function=FUNCTION, count=out(size))
call(0x0322, "cuFuncGetParamInfo", 12040, LOCAL, front="func_get_param_info", no_context=True,
     function=FUNCTION, index=size, offset=out(size), bytes=out(size, null=True))
call(0x0323, "cuFuncGetAttribute", 2020, front="func_get_attribute", no_context=True,
     value=out(c_int), attribute=enum("CUfunction_attribute"), function=FUNCTION)
call(0x0324, "cuFuncSetAttribute", 9000, front="func_set_attribute", no_context=True,
     function=FUNCTION,
     attribute=enum("CUfunction_attribute"), value=c_int)
call(0x0325, "cuFuncSetCacheConfig", 3000, no_context=True, function=FUNCTION,
     config=enum("CUfunc_cache"))
call(0x0326, "cuFuncSetSharedMemConfig", 4020, no_context=True, function=FUNCTION,
     config=enum("CUsharedconfig"))
call(0x0327, "cuFuncIsLoaded", 12040, no_context=True, state=out(enum("CUfunctionLoadingState")),
     function=FUNCTION)
call(0x0328, "cuFuncLoad", 12040, lane=True, function=FUNCTION)
refused(0x0329, "cuFuncSetBlockShape", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")
refused(0x032A, "cuFuncSetSharedSize", 2000, "obsolete since CUDA 4.0, replaced by cuLaunchKernel")

# The linker.
call(0x032B, "cuLinkCreate", 5050, elsewhere=True, front="link_create", count=c_uint,
     options=local("CUjit_option *"), values=local("void **"), link=creates(LINK))
call(0x032C, "cuLinkCreate_v2", 6050, elsewhere=True, front="link_create", count=c_uint,
     options=local("CUjit_option *"), values=local("void **"), link=creates(LINK))
call(0x032D, "cuLinkAddData", 5050, elsewhere=True, front="link_add_data", lane=True, link=LINK,
     kind=enum("CUjitInputType"), image=local("void *"), bytes=size, name=local("const char *"),
     count=c_uint, options=local("CUjit_option *"), values=local("void **"))
call(0x032E, "cuLinkAddData_v2", 6050, elsewhere=True, front="link_add_data", lane=True, link=LINK,
     kind=enum("CUjitInputType"), image=local("void *"), bytes=size, name=local("const char *"),
     count=c_uint, options=local("CUjit_option *"), values=local("void **"))
call(0x032F, "cuLinkAddFile", 5050, elsewhere=True, front="link_add_file", lane=True, link=LINK,
     kind=enum("CUjitInputType"), path=string_in, count=c_uint, options=local("CUjit_option *"),
     values=local("void **"))
call(0x0330, "cuLinkAddFile_v2", 6050, elsewhere=True, front="link_add_file", lane=True, link=LINK,
     kind=enum("CUjitInputType"), path=string_in, count=c_uint, options=local("CUjit_option *"),
     values=local("void **"))
call(0x0331, "cuLinkComplete", 5050, elsewhere=True, front="link_complete", lane=True, link=LINK,
     image=local("void **"), bytes=local("size_t *"))
call(0x0332, "cuLinkDestroy", 5050, POSTED, link=drops(LINK))
