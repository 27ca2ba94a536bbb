# SPDX-License-Identifier: Apache-2.0
"""Devices: what the snapshot of attach time answers, primary contexts, default pools."""

from __future__ import annotations

from .common import CONTEXT, MEMORY_POOL
from .structs import WORD, CUdevprop, CUdevResource, CUuuid
from .table import LOCAL, call, refused
from .types import (
    array_in,
    array_out,
    c_int,
    c_uint,
    device,
    enum,
    local,
    out,
    size,
    spelled,
    string_in,
    string_out,
    struct_in,
    u64,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Everything that the device snapshot taken at attach can answer.
call(0x0100, "cuDeviceGet", 2000, LOCAL, front="device_get", no_context=True, dev=out(device),
     ordinal=c_int)
call(0x0101, "cuDeviceGetCount", 2000, LOCAL, front="device_get_count", no_context=True,
     count=out(c_int))
call(0x0102, "cuDeviceGetName", 2000, LOCAL, front="device_get_name", no_context=True,
     name=string_out("length"), length=c_int, dev=device)
call(0x0103, "cuDeviceGetUuid", 9020, LOCAL, front="device_get_uuid", no_context=True,
     uuid=out(CUuuid), dev=device)
call(0x0104, "cuDeviceGetUuid_v2", 11040, LOCAL, front="device_get_uuid_v2", no_context=True,
     uuid=out(CUuuid), dev=device)
call(0x0105, "cuDeviceGetLuid", 10000, LOCAL, front="device_get_luid", no_context=True,
     luid=local("char *"), node_mask=out(c_uint), dev=device)
call(0x0106, "cuDeviceTotalMem_v2", 3020, LOCAL, front="device_total_mem", no_context=True,
     total=out(size), dev=device)
call(0x0107, "cuDeviceGetAttribute", 2000, LOCAL, front="device_get_attribute", no_context=True,
     value=out(c_int), attribute=enum("CUdevice_attribute"), dev=device)
call(0x0108, "cuDeviceGetPCIBusId", 4010, LOCAL, front="device_get_pci_bus_id", no_context=True,
     text=string_out("length"), length=c_int, dev=device)
call(0x0109, "cuDeviceGetByPCIBusId", 4010, LOCAL, front="device_get_by_pci_bus_id",
     no_context=True, dev=out(device), text=string_in)
call(0x010A, "cuDeviceComputeCapability", 2000, LOCAL, front="device_compute_capability",
     no_context=True, major=out(c_int), minor=out(c_int), dev=device)
call(0x010B, "cuDeviceGetProperties", 2000, LOCAL, front="device_get_properties", no_context=True,
     properties=out(CUdevprop), dev=device)
refused(0x010C, "cuDeviceTotalMem", 2000,
     "obsolete 32-bit interface, replaced by cuDeviceTotalMem_v2")

# The primary context.
call(0x010D, "cuDevicePrimaryCtxRetain", 7000, elsewhere=True, front="device_primary_ctx_retain",
     no_context=True, context=out(CONTEXT), dev=device)
call(0x010E, "cuDevicePrimaryCtxRelease", 7000, elsewhere=True, front="device_primary_ctx_release",
     lane=True, no_context=True, dev=device)
call(0x010F, "cuDevicePrimaryCtxRelease_v2", 11000, elsewhere=True,
     front="device_primary_ctx_release", lane=True, no_context=True, dev=device)
call(0x0110, "cuDevicePrimaryCtxReset", 7000, elsewhere=True, front="device_primary_ctx_reset",
     lane=True, no_context=True, dev=device)
call(0x0111, "cuDevicePrimaryCtxReset_v2", 11000, elsewhere=True, front="device_primary_ctx_reset",
     lane=True, no_context=True, dev=device)
call(0x0112, "cuDevicePrimaryCtxSetFlags", 7000, elsewhere=True,
     front="device_primary_ctx_set_flags", no_context=True, dev=device, flags=c_uint)
call(0x0113, "cuDevicePrimaryCtxSetFlags_v2", 11000, elsewhere=True,
     front="device_primary_ctx_set_flags", no_context=True, dev=device, flags=c_uint)
call(0x0114, "cuDevicePrimaryCtxGetState", 7000, LOCAL, front="device_primary_ctx_get_state",
     no_context=True, dev=device, flags=out(c_uint), active=out(c_int))

# Memory pools and graph memory of a device.
call(0x0115, "cuDeviceGetDefaultMemPool", 11020, no_context=True, pool=out(MEMORY_POOL), dev=device)
call(0x0116, "cuDeviceGetMemPool", 11020, no_context=True, pool=out(MEMORY_POOL), dev=device)
call(0x0117, "cuDeviceSetMemPool", 11020, unsafe=True, no_context=True, dev=device,
     pool=MEMORY_POOL)
call(0x0118, "cuDeviceGetGraphMemAttribute", 11040, no_context=True, dev=device,
     attribute=enum("CUgraphMem_attribute"), value=spelled(out(u64), "void *"))
call(0x0119, "cuDeviceSetGraphMemAttribute", 11040, no_context=True, dev=device,
     attribute=enum("CUgraphMem_attribute"), value=spelled(struct_in(WORD), "void *"))
call(0x011A, "cuDeviceGraphMemTrim", 11040, lane=True, no_context=True, dev=device)

# Rarely asked, so not part of the snapshot.
call(0x011B, "cuDeviceGetTexture1DLinearMaxWidth", 11010, no_context=True, width=out(size),
     format=enum("CUarray_format"), channels=spelled(c_uint, "unsigned"), dev=device)
call(0x011C, "cuDeviceGetExecAffinitySupport", 11040, no_context=True, supported=out(c_int),
     affinity=enum("CUexecAffinityType"), dev=device)
call(0x011D, "cuDeviceGetDevResource", 12040, handler="device_resources", no_context=True,
     dev=device, resource=out(CUdevResource), kind=enum("CUdevResourceType"))
call(0x011E, "cuDeviceGetHostAtomicCapabilities", 13000, no_context=True,
     capabilities=array_out(c_uint, "count"),
     operations=array_in(enum("CUatomicOperation"), "count"), count=c_uint, dev=device)
call(0x011F, "cuFlushGPUDirectRDMAWrites", 11030, lane=True,
     target=enum("CUflushGPUDirectRDMAWritesTarget"), scope=enum("CUflushGPUDirectRDMAWritesScope"))
refused(0x0120, "cuDeviceGetNvSciSyncAttributes", 10020, "NvSciSync exists on Tegra only")
refused(0x0121, "cuDeviceRegisterAsyncNotification", 12040,
     "asynchronous notifications are not offered yet")
refused(0x0122, "cuDeviceUnregisterAsyncNotification", 12040,
     "asynchronous notifications are not offered yet")
refused(0x0123, "cuDeviceGetCliqueCount", 13040, "NVLink fabric topology is not shown to a zone")
refused(0x0124, "cuDeviceGetCliqueInfo", 13040, "NVLink fabric topology is not shown to a zone")
refused(0x0125, "cuDeviceGetFabricClusterUuid", 13040,
     "NVLink fabric topology is not shown to a zone")
