# SPDX-License-Identifier: Apache-2.0
"""The driver as the worker calls it: cuda-python bound to the right library, and function
addresses.

cuda-python resolves every function (`cuGetProcAddress`) for exactly the version that a row means.
Rows are then called through that address with integers and pointers, by C or by ctypes; handlers
that need more use cuda-python's own functions.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from cuda.bindings import driver as cuda

from gpu_proxy.request import CallError
from idm.api.table import Call, load
from idm.api.types import Wire

MAX_ARGUMENTS = 16
RTLD_GLOBAL = ctypes.RTLD_GLOBAL
NOT_SUPPORTED = 801
# Members of struct vx_driver, in its order: base name and version.
EXECUTOR_FUNCTIONS = (
    ("cuCtxSetCurrent", 4000),
    ("cuEventCreate", 2000),
    ("cuEventRecord", 2000),
    ("cuEventQuery", 2000),
    ("cuEventDestroy", 4000),
    ("cuStreamCreate", 2000),
    ("cuMemcpyHtoDAsync", 3020),
    ("cuMemcpyDtoHAsync", 3020),
    ("cuMemcpyAsync", 4000),
    ("cuLaunchKernelEx", 11060),
    ("cuStreamWaitValue32", 11070),
    ("cuStreamQuery", 2000),
    ("cuStreamIsCapturing", 10000),
    ("cuStreamDestroy", 4000),
)

RawFunction = Callable[..., int]


def check(result: Any) -> Any:
    """The value of a cuda-python result tuple; CallError when its first member is an error."""
    status, *values = result if isinstance(result, tuple) else (result,)
    if int(status) != 0:
        raise CallError(int(status))
    return values[0] if len(values) == 1 else values


class Driver:
    """Function addresses of the bound library."""

    def __init__(self, library: str) -> None:
        """Bind to `library`, or to the system's driver when it is empty, and initialise it."""
        if library:
            # cuda-python asks for libcuda.so.1, and a library with that SONAME is there already.
            ctypes.CDLL(library, mode=RTLD_GLOBAL)
        check(cuda.cuInit(0))
        self.version = int(check(cuda.cuDriverGetVersion()))
        self._addresses: dict[tuple[str, int], int] = {}
        self._raw: dict[tuple[int, int], RawFunction] = {}

    def address(self, base: str, since: int) -> int:
        """Address of the function that `base` means in version `since`; 0 when there is none."""
        key = (base, since)
        if key not in self._addresses:
            self._addresses[key] = _look_up(base, since)
        return self._addresses[key]

    def address_of(self, row: Call) -> int:
        """Address of a row's function."""
        return self.address(row.base, row.since)

    def call(self, row: Call, *arguments: int) -> None:
        """Call a row's function with integers and addresses. CallError when it fails."""
        self.call_address(self.address_of(row), *arguments, floats=_floats(row.number))

    def call_named(self, symbol: str, *arguments: int) -> None:
        """Call the function behind a row's symbol."""
        self.call(load().by_symbol[symbol], *arguments)

    def call_address(self, address: int, *arguments: int, floats: tuple[int, ...] = ()) -> None:
        """Call a function of the driver; the GIL is released meanwhile.

        At the positions of `floats` the arguments are floats, given by their bits.
        """
        if not address:
            raise CallError(NOT_SUPPORTED)
        values: list[int | float] = list(arguments)
        for at in floats:
            (values[at],) = struct.unpack("=f", struct.pack("=I", arguments[at]))
        status = self._function(address, len(arguments), floats)(*values)
        if status != 0:
            raise CallError(status)

    def _function(self, address: int, count: int, floats: tuple[int, ...]) -> RawFunction:
        key = (address, count)
        if key not in self._raw:
            types: list[Any] = [ctypes.c_uint64] * count
            for at in floats:
                types[at] = ctypes.c_float
            self._raw[key] = ctypes.CFUNCTYPE(ctypes.c_int, *types)(address)
        return self._raw[key]


@cache
def _floats(number: int) -> tuple[int, ...]:
    """Positions of a row's parameters that are floats by value: they have their own registers."""
    values = enumerate(load().by_number[number].params)
    return tuple(i for i, p in values if p.wire is Wire.SCALAR and p.type.c_name == "float")


def _look_up(base: str, since: int) -> int:
    status, address, _ = cuda.cuGetProcAddress(base.encode(), since, 0)
    return int(address) if int(status) == 0 and address else 0


def apply_setting(setting: str) -> bool:
    """Set an environment variable of libcuda, if it is one that an application may choose."""
    name, _, value = setting.partition("=")
    if name not in ALLOWED_SETTINGS or not value.isprintable():
        return False
    os.environ[name] = value
    return True


ALLOWED_SETTINGS = frozenset(
    {
        "CUDA_CACHE_DISABLE",
        "CUDA_CACHE_MAXSIZE",
        "CUDA_MODULE_LOADING",
        "CUDA_DEVICE_MAX_CONNECTIONS",
    }
)
