# SPDX-License-Identifier: Apache-2.0
"""Kernels: found by name, and described once so that the front end need not ask again."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import install, object_of
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
NOT_SUPPORTED = 801
ATTRIBUTES = 32
# CUfunction_attribute numbers that no call changes.
FIXED_ATTRIBUTES = (0, 1, 2, 3, 4, 5, 6, 7, 10)
PARAMS_MAX = 4096


def _number(call: Callable[[int], None]) -> int | None:
    value = ctypes.c_int32()
    try:
        call(ctypes.addressof(value))
    except CallError:
        return None
    return value.value


def _attributes(read: Callable[[int, int], None]) -> tuple[int, list[int]]:
    """Mask of the attributes that could be read, and their values by number."""
    valid, values = 0, [0] * ATTRIBUTES
    for number in FIXED_ATTRIBUTES:
        value = _number(lambda where, number=number: read(where, number))  # type: ignore[misc]
        if value is not None:
            valid |= 1 << number
            values[number] = value
    return valid, values


def _layout(read: Callable[[int, int, int], None]) -> list[tuple[int, int]]:
    """Offset and size of each parameter. The driver says INVALID_VALUE after the last one."""
    found: list[tuple[int, int]] = []
    offset, size = ctypes.c_uint64(), ctypes.c_uint64()
    while len(found) < PARAMS_MAX:
        try:
            read(len(found), ctypes.addressof(offset), ctypes.addressof(size))
        except CallError as error:
            if error.status != INVALID_VALUE:
                raise
            break
        found.append((offset.value, size.value))
    return found


def _describe(attributes: tuple[int, list[int]], layout: list[tuple[int, int]]) -> dict[str, bytes]:
    valid, values = attributes
    total = max((offset + size for offset, size in layout), default=0)
    info = struct.pack("=8I32i", len(layout), total, valid, 0, 0, 0, 0, 0, *values)
    return {"info": info, "layout": b"".join(struct.pack("=II", *entry) for entry in layout)}


def layout_of(worker: Worker, item: int, *, kernel: bool) -> list[tuple[int, int]]:
    """Offset and size of each parameter of a kernel of a library, or of a function of a module."""
    symbol = "cuKernelGetParamInfo" if kernel else "cuFuncGetParamInfo"
    return _layout(lambda i, at, size: worker.driver.call_named(symbol, item, i, at, size))


def _about(worker: Worker, item: int, *, kernel: bool) -> dict[str, bytes]:
    def read(where: int, number: int) -> None:
        if kernel:
            worker.driver.call_named("cuKernelGetAttribute", where, number, item, 0)
        else:
            worker.driver.call_named("cuFuncGetAttribute", where, number, item)

    return _describe(_attributes(read), layout_of(worker, item, kernel=kernel))


@handles("module_get_function")
def module_get_function(worker: Worker, request: Request) -> Later:
    """A function of a module. A driver that compiles or loads lazily does it now, on a lane."""
    module = object_of(worker, request["module"], Kind.MODULE)
    name = ctypes.create_string_buffer(request["name"])

    def finish() -> dict[str, bytes]:
        made = ctypes.c_uint64()
        where = ctypes.addressof(made), module, ctypes.addressof(name)
        worker.driver.call_named("cuModuleGetFunction", *where)
        results = _about(worker, made.value, kernel=False)
        handle, context = request["function"], request.context
        install(worker, handle, Kind.FUNCTION, made.value, context, request["module"])
        return results

    return Later(finish)


@handles("library_get_kernel")
def library_get_kernel(worker: Worker, request: Request) -> Later:
    """A kernel of a library. It is loaded now, on a lane, so that no launch has to wait for it."""
    library = object_of(worker, request["library"], Kind.LIBRARY)
    name = ctypes.create_string_buffer(request["name"])

    def finish() -> dict[str, bytes]:
        made = ctypes.c_uint64()
        where = ctypes.addressof(made), library, ctypes.addressof(name)
        worker.driver.call_named("cuLibraryGetKernel", *where)
        _load(worker, made.value, kernel=True)
        results = _about(worker, made.value, kernel=True)
        install(worker, request["function"], Kind.FUNCTION, made.value, 0, request["library"])
        return results

    return Later(finish)


def _load(worker: Worker, item: int, *, kernel: bool) -> None:
    function = ctypes.c_uint64(item)
    if kernel:
        worker.driver.call_named("cuKernelGetFunction", ctypes.addressof(function), item)
    try:
        worker.driver.call_named("cuFuncLoad", function.value)
    except CallError as error:
        if error.status != NOT_SUPPORTED:  # by a driver older than 12.4
            raise


def _is_kernel(worker: Worker, handle: int) -> bool:
    """Whether a function's handle is that of a kernel of a library."""
    return int(lib.vx_parent(worker.vx, handle)) >> 56 == Kind.LIBRARY


@handles("function_load")
def function_load(worker: Worker, request: Request) -> Later:
    """Load a function whose handle was chosen here."""
    item = object_of(worker, request["function"], Kind.FUNCTION)
    kernel = _is_kernel(worker, request["function"])
    return Later(lambda: _load(worker, item, kernel=kernel))


@handles("function_info")
def function_info(worker: Worker, request: Request) -> dict[str, bytes]:
    """The same for a function whose handle was chosen here."""
    handle, name = request["function"], ctypes.c_char_p()
    item = object_of(worker, handle, Kind.FUNCTION)
    kernel = _is_kernel(worker, handle)
    symbol = "cuKernelGetName" if kernel else "cuFuncGetName"
    worker.driver.call_named(symbol, ctypes.addressof(name), item)
    return _about(worker, item, kernel=kernel) | {"name": name.value or b""}
