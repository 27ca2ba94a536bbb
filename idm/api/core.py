# SPDX-License-Identifier: Apache-2.0
"""Initialisation, versions, errors, function look-up and the driver's log."""

from __future__ import annotations

from .table import LOCAL, call, refused
from .types import address, c_int, c_uint, enum, local, out, string_in, u64

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Starting, versions, errors, and finding functions: all of it is answered in the zone.
call(0x0000, "cuInit", 2000, LOCAL, front="init", no_context=True, flags=c_uint)
call(0x0001, "cuDriverGetVersion", 2020, LOCAL, front="driver_get_version", no_context=True,
     version=out(c_int))
call(0x0002, "cuGetProcAddress", 11030, LOCAL, front="get_proc_address", no_context=True,
     symbol_=string_in, function=local("void **"), version=c_int, flags=u64)
call(0x0003, "cuGetProcAddress_v2", 12000, LOCAL, front="get_proc_address_v2", no_context=True,
     symbol_=string_in, function=local("void **"), version=c_int, flags=u64,
     status=out(enum("CUdriverProcAddressQueryResult"), null=True))
call(0x0004, "cuGetExportTable", 3000, LOCAL, front="get_export_table", no_context=True,
     table=local("const void **"), identifier=local("const CUuuid *"))
call(0x0005, "cuGetErrorName", 6000, LOCAL, front="get_error_name", no_context=True,
     error=enum("CUresult"), text=local("const char **"))
call(0x0006, "cuGetErrorString", 6000, LOCAL, front="get_error_string", no_context=True,
     error=enum("CUresult"), text=local("const char **"))

# The driver's own log: callbacks are kept and never called, since nothing is logged in the zone.
call(0x0007, "cuLogsRegisterCallback", 12090, LOCAL, front="logs_register_callback",
     no_context=True, callback=address("CUlogsCallback"), data=address("void *"),
     registration=local("CUlogsCallbackHandle *"))
call(0x0008, "cuLogsUnregisterCallback", 12090, LOCAL, front="logs_unregister_callback",
     no_context=True, registration=address("CUlogsCallbackHandle"))
refused(0x0009, "cuLogsCurrent", 12090, "the driver's log stays in the driver domain")
refused(0x000A, "cuLogsDumpToFile", 12090, "the driver's log stays in the driver domain")
refused(0x000B, "cuLogsDumpToMemory", 12090, "the driver's log stays in the driver domain")
