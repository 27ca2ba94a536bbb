# SPDX-License-Identifier: Apache-2.0
"""Modules and libraries from images that were uploaded before."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpu_proxy.account.images import UnknownSize, device_bytes
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import install
from gpu_proxy.handlers.room import make_charged, on_lane
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
INVALID_IMAGE = 200
MAJOR, MINOR = 75, 76  # CUdevice_attribute numbers


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


def _image_bytes(worker: Worker, image: ctypes.Array[ctypes.c_char]) -> int:
    """Device memory that an image will take. One that does not say is not loaded."""
    try:
        return device_bytes(memoryview(image).cast("B")[:-1], capabilities(worker))
    except UnknownSize as error:
        worker.channel.log("image-refused", reason=str(error))
        raise CallError(INVALID_IMAGE) from None


def capabilities(worker: Worker) -> list[int]:
    """What the devices can run, as 10 * major + minor."""
    count = _number(lambda where: worker.driver.call_named("cuDeviceGetCount", where))

    def ask(attribute: int, device: int) -> int:
        symbol = "cuDeviceGetAttribute"
        return _number(lambda where: worker.driver.call_named(symbol, where, attribute, device))

    return [10 * ask(MAJOR, device) + ask(MINOR, device) for device in range(count)]


def _number(ask: Callable[[int], None]) -> int:
    value = ctypes.c_int32()
    ask(ctypes.addressof(value))
    return value.value


@handles("module_load")
def module_load(worker: Worker, request: Request) -> Later:
    """Load a module; compiling may take long, so it runs on a lane."""
    upload, options = take_with_options(worker, request)
    handle = request["module"]

    def load(image: int) -> None:
        made = ctypes.c_uint64()
        where = ctypes.addressof(made), image
        worker.driver.call_named("cuModuleLoadDataEx", *where, *options.arguments)
        install(worker, handle, Kind.MODULE, made.value, request.context)

    def finish() -> dict[str, bytes]:
        with upload.image() as data, options.log_with_error():
            amount, image = _image_bytes(worker, data), ctypes.addressof(data)
            on_lane(worker, lambda: make_charged(worker, handle, amount, lambda: load(image)))
        return options.results()

    return Later(finish)


@handles("library_load")
def library_load(worker: Worker, request: Request) -> Later:
    """Load a library, which belongs to no context."""
    upload, options = take_with_options(worker, request)
    handle = request["library"]

    def load(image: int) -> None:
        made = ctypes.c_uint64()
        count, numbers, values = options.arguments
        where, rest = (ctypes.addressof(made), image), (numbers, values, count, 0, 0, 0)
        worker.driver.call_named("cuLibraryLoadData", *where, *rest)
        install(worker, handle, Kind.LIBRARY, made.value)

    def finish() -> dict[str, bytes]:
        contexts = worker.account.contexts
        with upload.image() as data, options.log_with_error():
            amount = _image_bytes(worker, data)
            on_lane(worker, lambda: contexts.load(handle, amount))
            try:
                load(ctypes.addressof(data))
            except CallError:
                contexts.unload(handle)
                raise
        return options.results()

    return Later(finish)
