# SPDX-License-Identifier: Apache-2.0
"""Modules and libraries from images that were uploaded before."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import install
from gpu_proxy.handlers.uploads import Taken, take
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INFO_BUFFER, INFO_BYTES, ERROR_BUFFER, ERROR_BYTES = 3, 4, 5, 6
# Options that are plain numbers; the others would be addresses of the application.
NUMBERS = frozenset(
    {0, 1, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24, 29, 30, 31, 33}
)
INVALID_VALUE = 1


class JitOptions:
    """Options and log buffers as the driver takes them."""

    def __init__(self, request: Request, *, logs: bool = True) -> None:
        """`logs`: the request says how long its log buffers are."""
        info_bytes, error_bytes = (
            (request["info_bytes"], request["error_bytes"]) if logs else (0, 0)
        )
        count = request["option_count"]
        numbers = list(struct.unpack(f"={count}I", request["options"]))
        values = list(struct.unpack(f"={count}Q", request["values"]))
        if not NUMBERS.issuperset(numbers):
            raise CallError(INVALID_VALUE)
        self.info = self._log(numbers, values, info_bytes, INFO_BUFFER, INFO_BYTES)
        self.error = self._log(numbers, values, error_bytes, ERROR_BUFFER, ERROR_BYTES)
        self.count = len(numbers)
        self._numbers = (ctypes.c_int * max(1, self.count))(*numbers)
        self._values = (ctypes.c_uint64 * max(1, self.count))(*values)

    @staticmethod
    def _log(
        numbers: list[int], values: list[int], size: int, buffer: int, length: int
    ) -> ctypes.Array[ctypes.c_char]:
        log = ctypes.create_string_buffer(max(1, size))
        if size:
            numbers += [buffer, length]
            values += [ctypes.addressof(log), size]
        return log

    @property
    def arguments(self) -> tuple[int, int, int]:
        """Count, option numbers, values."""
        return self.count, ctypes.addressof(self._numbers), ctypes.addressof(self._values)

    @contextmanager
    def log_with_error(self) -> Iterator[None]:
        """An error inside the block takes the logs along: they say why."""
        try:
            yield
        except CallError as error:
            raise CallError(error.status, self.results()) from None

    def results(self) -> dict[str, bytes]:
        """The logs that were written."""
        return {"info": self.info.raw, "error": self.error.raw}


def take_with_options(
    worker: Worker, request: Request, *, logs: bool = True
) -> tuple[Taken, JitOptions]:
    """The uploaded image of a request, and how to compile it."""
    upload = take(worker, request["upload"])
    try:
        return upload, JitOptions(request, logs=logs)
    except CallError:
        upload.give_back()
        raise


@handles("module_load")
def module_load(worker: Worker, request: Request) -> Later:
    """Load a module; compiling may take long, so it runs on a lane."""
    upload, options = take_with_options(worker, request)

    def finish() -> dict[str, bytes]:
        made = ctypes.c_uint64()
        with upload.image() as data, options.log_with_error():
            worker.driver.call_named(
                "cuModuleLoadDataEx",
                ctypes.addressof(made),
                ctypes.addressof(data),
                *options.arguments,
            )
        install(worker, request["module"], Kind.MODULE, made.value, request.context)
        return options.results()

    return Later(finish)


@handles("library_load")
def library_load(worker: Worker, request: Request) -> Later:
    """Load a library, which belongs to no context."""
    upload, options = take_with_options(worker, request)

    def finish() -> dict[str, bytes]:
        made = ctypes.c_uint64()
        count, numbers, values = options.arguments
        with upload.image() as data, options.log_with_error():
            where = ctypes.addressof(made), ctypes.addressof(data)
            worker.driver.call_named("cuLibraryLoadData", *where, numbers, values, count, 0, 0, 0)
        install(worker, request["library"], Kind.LIBRARY, made.value)
        return options.results()

    return Later(finish)
