# SPDX-License-Identifier: Apache-2.0
"""The worker: serves one session until the supervisor ends it.

The C executor takes records from the ring and runs the FAST ones; every other record comes back to
`Worker.run`, which decodes it, runs its handler, and answers. What may block finishes on a helper
lane of the application thread that called.
"""

from __future__ import annotations

import mmap
import os
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gpu_proxy import handlers
from gpu_proxy._executor import ffi, lib
from gpu_proxy.account.account import Account
from gpu_proxy.binding import EXECUTOR_FUNCTIONS, Driver
from gpu_proxy.request import CallError, Later, Pending, Request, decode, encode_results
from gpu_proxy.resources import Resources
from gpu_proxy.worker_channel import WorkerChannel
from gpu_proxy.worker_setup import WorkerSetup
from idm import handshake
from idm.api.table import Table, load
from idm.api.types import Wire

UNKNOWN = 999
OUT_OF_MEMORY = 2
INVALID_CONTEXT = 201
NOT_INITIALIZED = 3
COUNTERS_BYTES = 4096
LANES = 64
TIDYING = -1  # a lane that is no application thread's
TABLE: Table = load()  # here and below: once in the zygote, for all workers
handlers.load_all()
HANDLE_LEASE = 1024  # objects asked for at a time


class Worker:
    """State of one session."""

    def __init__(self, setup: WorkerSetup, channel: WorkerChannel) -> None:
        self.setup = setup
        self.channel = channel
        self.table = TABLE
        self.resources = Resources()
        self.lanes: dict[int, ThreadPoolExecutor] = {}
        self.account = Account(
            channel,
            lambda change: lib.vx_count_memory(self.vx, change, 0),
            lambda: self.driver,
            setup.context_memory,
        )
        self._tidying = False
        self._driver: Driver | None = None
        self._handles = 0
        self._region = mmap.mmap(setup.region_fd, lib.IDM_REGION_BYTES)
        self._counters = mmap.mmap(setup.counters_fd, COUNTERS_BYTES)
        self._region[: handshake.HEADER.size] = handshake.header(setup.features)
        bells = [setup.request_doorbell, *setup.slot_doorbells]
        self._doorbells = ffi.new("struct idm_bell[]", [tuple(bell) for bell in bells])
        self.region_address = int(ffi.cast("uintptr_t", ffi.from_buffer(self._region)))
        self.vx = lib.vx_open(
            ffi.from_buffer(self._region),
            ffi.cast("struct idm_counters *", ffi.from_buffer(self._counters)),
            self._doorbells,
            len(setup.slot_doorbells),
            setup.executor == "c",
        )
        if self.vx == ffi.NULL:
            raise MemoryError("no memory for the executor")
        lib.vx_set_queue(self.vx, setup.stream_queue)
        self._output = _capture_standard_output()
        lib.vx_set_output(self.vx, self._output)

    @property
    def driver(self) -> Driver:
        """The driver, bound at the first call that needs it: after the application's settings."""
        if self._driver is None:
            self._driver = self._bind()
        return self._driver

    def _bind(self) -> Driver:
        if self.setup.compiler_fd >= 0:
            os.environ["VGPU_SOFTGPU_COMPILER_FD"] = str(self.setup.compiler_fd)
        if self.setup.stub:
            os.environ["VGPU_SOFTGPU_QUEUE"] = str(self.setup.stream_queue)
        if self.setup.stub and self.setup.device_memory_limit:
            # The software GPU has no more for a session than its zone may use together.
            os.environ["VGPU_SOFTGPU_MEMORY"] = str(self.setup.device_memory_limit)
        driver = Driver(self.setup.driver_library)
        for index, (base, version) in enumerate(EXECUTOR_FUNCTIONS):
            lib.vx_set_driver(self.vx, index, driver.address(base, version))
        for row in self.table.calls:
            if row.fast and not row.symbol.startswith("vgpu"):
                lib.vx_set_function(self.vx, row.number, driver.address_of(row))
        return driver

    def run(self) -> None:
        """Serve until stopped. A malformed record ends the session with its reason."""
        outcome = lib.VX_PYTHON
        while True:
            outcome = lib.vx_run(self.vx)
            if outcome == lib.VX_PYTHON:
                self._serve()
            elif outcome == lib.VX_WAITED:
                self._tidy_soon()
            else:
                break
        if outcome == lib.VX_MALFORMED:
            self.channel.end(ffi.string(lib.vx_reason(self.vx)).decode())

    def printed(self, limit: int) -> bytes:
        """What kernels have printed and nobody has fetched, at most `limit` bytes."""
        try:
            return os.read(self._output, limit) if limit else b""
        except BlockingIOError:
            return b""

    def more_handles(self) -> bool:
        """Have the zone's ledger grant more objects to this session."""
        granted = min(HANDLE_LEASE, self.setup.max_handles - self._handles)
        while granted > 0 and not self.channel.charge("handles", granted):
            granted //= 2
        self._handles += granted
        lib.vx_set_object_limit(self.vx, self._handles)
        return granted > 0

    def _serve(self) -> None:
        record = lib.vx_request(self.vx)
        row = self.table.by_number[record.call]
        request = decode(row, bytes(ffi.buffer(record, record.bytes)))
        try:
            self._prepare(request)
            handler = handlers.find(row)
            outcome = handler(self, request)
        except CallError as error:
            self.answer(request, error.status, error.results)
        except Exception:  # noqa: BLE001 - our own bug must not end other calls of the session
            self._report_bug(request)
        else:
            self._settle(request, outcome)
        self._watch()

    def _prepare(self, request: Request) -> None:
        if request.row.handler == "environment":
            return
        _ = self.driver
        if _creates(request) and lib.vx_is_full(self.vx) and not self.more_handles():
            raise CallError(OUT_OF_MEMORY)  # The driver must not make what nobody could name.
        if not request.row.no_context:
            if not request.context:
                raise CallError(INVALID_CONTEXT)
            self.use_context(request.context)
        elif lib.vx_set_context(self.vx, request.context):
            lib.vx_set_context(self.vx, 0)  # The thread's context has ended; the call needs none.

    def use_context(self, handle: int) -> None:
        """Make a context current for the main thread."""
        status = lib.vx_set_context(self.vx, handle)
        if status:
            raise CallError(status)

    def _settle(self, request: Request, outcome: Any) -> None:
        if isinstance(outcome, Pending):
            return
        if isinstance(outcome, Later):
            self._lane(request.thread).submit(self._finish, request, outcome, self.current())
            return
        self.answer(request, 0, outcome or {})

    def current(self) -> int:
        """The driver's object of the main thread's current context, or 0."""
        return int(lib.vx_current(self.vx))

    def _watch(self) -> None:
        """Come back after the application's next wait when there will be something to tidy."""
        if self.account.untidy and not self._tidying:
            lib.vx_watch(self.vx)

    def _tidy_soon(self) -> None:
        if not self._tidying:
            self._tidying = True
            self._lane(TIDYING).submit(self._tidy)

    def _tidy(self) -> None:
        try:
            self.account.tidy()
        except Exception:  # noqa: BLE001 - our own bug must not end the session
            self.channel.log("tidy-failed", traceback=traceback.format_exc()[-900:])
        self._tidying = False
        self._watch()

    def _lane(self, thread: int) -> ThreadPoolExecutor:
        key = thread % LANES if thread >= 0 else thread
        if key not in self.lanes:
            self.lanes[key] = ThreadPoolExecutor(1, thread_name_prefix=f"lane-{key}")
        return self.lanes[key]

    def _finish(self, request: Request, later: Later, context: int) -> None:
        try:
            self.driver.call_named("cuCtxSetCurrent", context)
            results = later.finish()
        except CallError as error:
            self.answer(request, error.status, error.results)
        except Exception:  # noqa: BLE001
            self._report_bug(request)
        else:
            self.answer(request, 0, results or {})
        self._watch()

    def _report_bug(self, request: Request) -> None:
        self.channel.log(
            "handler-failed", call=request.row.symbol, traceback=traceback.format_exc()[-900:]
        )
        self.answer(request, UNKNOWN)

    def answer(
        self, request: Request, status: int, results: dict[str, bytes] | None = None
    ) -> None:
        """Answer a call, or keep a posted call's error for its thread."""
        if request.posted:
            lib.vx_late(self.vx, request.thread, status)
            return
        lib.vx_note_status(self.vx, status)
        data = b"" if results is None and status else encode_results(request, results or {})
        lib.vx_answer(
            self.vx, request.slot, request.sequence, request.reply, status, data, len(data)
        )


def _creates(request: Request) -> bool:
    return any(param.wire is Wire.CREATES for param in request.row.params)


def _capture_standard_output() -> int:
    """Make standard output a pipe: kernels print there. A full one loses text and blocks nobody."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.dup2(writing, 1)
    os.close(writing)
    return reading


def main(setup: WorkerSetup) -> None:
    """Entry of the forked, sandboxed child."""
    channel = WorkerChannel(setup.supervisor_fd)
    if lib.vx_window_reserve(setup.window_base, setup.window_bytes):
        channel.end(f"window {setup.window_base:#x} is taken in the worker")
        return
    try:
        worker = Worker(setup, channel)
    except OSError as error:
        # Granted pages: a reference that is none, or no maptrack entries left.
        channel.end(f"region: cannot be mapped: {error}")
        return
    channel.ready()
    worker.run()
