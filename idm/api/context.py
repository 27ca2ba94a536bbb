# SPDX-License-Identifier: Apache-2.0
"""Contexts: creation, the current one of each thread, limits and synchronisation."""

from __future__ import annotations

from .common import CONTEXT, EVENT, optional
from .structs import CUdevResource, CUexecAffinityParam
from .table import LOCAL, POSTED, call, refused
from .types import c_int, c_uint, c_ulonglong, creates, device, drops, enum, local, out, size

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Creating and destroying.
call(0x0200, "cuCtxCreate", 2000, elsewhere=True, front="ctx_create", no_context=True,
     context=creates(CONTEXT), flags=c_uint, dev=device)
call(0x0201, "cuCtxCreate_v2", 3020, elsewhere=True, front="ctx_create", no_context=True,
     context=creates(CONTEXT), flags=c_uint, dev=device)
call(0x0202, "cuCtxCreate_v3", 11040, elsewhere=True, front="ctx_create_v3", no_context=True,
     context=creates(CONTEXT), affinities=local("CUexecAffinityParam *"), count=c_int, flags=c_uint,
     dev=device)
call(0x0203, "cuCtxCreate_v4", 12050, elsewhere=True, front="ctx_create_v4", no_context=True,
     context=creates(CONTEXT), options=local("CUctxCreateParams *"), flags=c_uint, dev=device)
call(0x0204, "cuCtxDestroy", 2000, front="ctx_destroy", lane=True, no_context=True,
     context=drops(CONTEXT))
call(0x0205, "cuCtxDestroy_v2", 4000, front="ctx_destroy", lane=True, no_context=True,
     context=drops(CONTEXT))
refused(0x0206, "cuCtxAttach", 2000,
     "obsolete since CUDA 4.0, replaced by cuCtxCreate and cuCtxDestroy")
refused(0x0207, "cuCtxDetach", 2000,
     "obsolete since CUDA 4.0, replaced by cuCtxCreate and cuCtxDestroy")

# Which context is current is the business of the application's threads.
call(0x0208, "cuCtxGetCurrent", 4000, LOCAL, front="ctx_get_current", no_context=True,
     context=out(CONTEXT))
call(0x0209, "cuCtxSetCurrent", 4000, LOCAL, front="ctx_set_current", no_context=True,
     context=optional(CONTEXT))
call(0x020A, "cuCtxPushCurrent", 2000, LOCAL, front="ctx_push_current", no_context=True,
     context=optional(CONTEXT))
call(0x020B, "cuCtxPushCurrent_v2", 4000, LOCAL, front="ctx_push_current", no_context=True,
     context=optional(CONTEXT))
call(0x020C, "cuCtxPopCurrent", 2000, LOCAL, front="ctx_pop_current", no_context=True,
     context=out(CONTEXT, null=True))
call(0x020D, "cuCtxPopCurrent_v2", 4000, LOCAL, front="ctx_pop_current", no_context=True,
     context=out(CONTEXT, null=True))
call(0x020E, "cuCtxGetDevice", 2000, LOCAL, front="ctx_get_device", dev=out(device))
call(0x020F, "cuCtxGetDevice_v2", 13000, LOCAL, front="ctx_get_device_v2", no_context=True,
     dev=out(device), context=optional(CONTEXT))
call(0x0210, "cuCtxGetApiVersion", 3020, LOCAL, front="ctx_get_api_version", no_context=True,
     context=optional(CONTEXT), version=out(c_uint))
call(0x0211, "cuCtxGetFlags", 7000, LOCAL, front="ctx_get_flags", flags=out(c_uint))
call(0x0212, "cuCtxGetId", 12000, LOCAL, front="ctx_get_id", no_context=True,
     context=optional(CONTEXT), identifier=out(c_ulonglong))

# Properties that the driver keeps.
call(0x0213, "cuCtxSetFlags", 12010, flags=c_uint)
call(0x0214, "cuCtxGetLimit", 3010, value=out(size), limit=enum("CUlimit"))
call(0x0215, "cuCtxSetLimit", 3010, limit=enum("CUlimit"), value=size)
call(0x0216, "cuCtxGetCacheConfig", 3020, config=out(enum("CUfunc_cache")))
call(0x0217, "cuCtxSetCacheConfig", 3020, unsafe=True, config=enum("CUfunc_cache"))
call(0x0218, "cuCtxGetSharedMemConfig", 4020, config=out(enum("CUsharedconfig")))
call(0x0219, "cuCtxSetSharedMemConfig", 4020, unsafe=True, config=enum("CUsharedconfig"))
call(0x021A, "cuCtxGetStreamPriorityRange", 5050, least=out(c_int, null=True),
     greatest=out(c_int, null=True))
call(0x021B, "cuCtxGetExecAffinity", 11040, affinity=out(CUexecAffinityParam),
     kind=enum("CUexecAffinityType"))
call(0x021C, "cuCtxResetPersistingL2Cache", 11000)
call(0x021D, "cuCtxGetDevResource", 12040, handler="device_resources", no_context=True,
     context=optional(CONTEXT), resource=out(CUdevResource), kind=enum("CUdevResourceType"))

# Waiting for a whole context.
call(0x021E, "cuCtxSynchronize", 2000, fast=True, lane=True)
call(0x021F, "cuCtxSynchronize_v2", 13000, fast=True, lane=True, no_context=True,
     context=optional(CONTEXT))
call(0x0220, "cuCtxRecordEvent", 12050, POSTED, no_context=True, context=optional(CONTEXT),
     event=EVENT)
call(0x0221, "cuCtxWaitEvent", 12050, POSTED, no_context=True, context=optional(CONTEXT),
     event=EVENT)
