# SPDX-License-Identifier: Apache-2.0
"""What happens in a forked child between the fork and its own main function."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from gpu_proxy import sandbox
from gpu_proxy.spawn_request import Fork, WorkerValues
from gpu_proxy.worker_channel import WorkerChannel
from gpu_proxy.worker_setup import WorkerSetup
from idm.transport import Doorbell

EXIT_CRASHED = 70
TRACEBACK_MAX = 1800
FD_FIRST, FD_LAST = 3, 0x7FFFFFFF


@dataclass(frozen=True)
class Entries:
    """The functions that children run; no compiler in real mode."""

    worker: Callable[[WorkerSetup], None]
    compiler: Callable[[list[str]], int] | None


def run_child(request: Fork, fds: list[int], entries: Entries, parent: int) -> NoReturn:
    """Lock the process in, run its function, and exit; never returns into the zygote's code."""
    status = EXIT_CRASHED
    try:
        os.setsid()
        _default_signals()
        kept = _only_these(fds, keep_stderr=request.sandbox.keep_stderr)
        if request.worker is not None:
            _run_worker(request, request.worker, kept, entries, parent)
        else:
            _run_compiler(request, kept, entries, parent)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # noqa: BLE001 - the child must never unwind into the zygote
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _run_worker(
    request: Fork, values: WorkerValues, fds: list[int], entries: Entries, parent: int
) -> None:
    setup = worker_setup(values, fds)
    with socket.socket(fileno=os.dup(setup.supervisor_fd)) as spare:
        spare.set_inheritable(False)
        try:
            os.environ.clear()
            os.environ.update(values.environment)
            gaps = sandbox.enter(request.sandbox, parent)
            if gaps:
                _say(spare, "sandbox-gap", text="; ".join(gaps))
            entries.worker(setup)
        except BaseException:
            _say(spare, "worker-crashed", traceback=traceback.format_exc()[-TRACEBACK_MAX:])
            raise


def _say(channel: socket.socket, event: str, **fields: str) -> None:
    """Log through the supervisor; the worker's own channel may be in any state by now."""
    said = WorkerChannel(os.dup(channel.fileno()))
    try:
        said.log(event, **fields)
    except OSError:
        return


def _run_compiler(request: Fork, fds: list[int], entries: Entries, parent: int) -> None:
    if entries.compiler is None or request.compiler_environment is None:
        raise RuntimeError("this zygote serves no compile helpers")
    os.environ.clear()
    os.environ.update(request.compiler_environment)
    sandbox.enter(request.sandbox, parent)
    raise SystemExit(entries.compiler([f"--fd={fds[0]}"]))


def worker_setup(values: WorkerValues, fds: list[int]) -> WorkerSetup:
    """Put values and descriptors together: region, counters, channel, doorbells, compiler."""
    expected = 3 + len(values.doorbell_ports) + values.compiler
    if len(fds) != expected:
        raise ValueError(f"{len(fds)} descriptors came and {expected} were expected")
    region, counters, channel, *bells = fds[: 3 + len(values.doorbell_ports)]
    request, *slots = map(Doorbell, bells, values.doorbell_ports)
    return WorkerSetup(
        session=values.session,
        zone=values.zone,
        features=values.features,
        stub=values.stub,
        executor=values.executor,
        driver_library=values.driver_library,
        window_base=values.window_base,
        window_bytes=values.window_bytes,
        max_handles=values.max_handles,
        region_fd=region,
        counters_fd=counters,
        request_doorbell=request,
        slot_doorbells=tuple(slots),
        supervisor_fd=channel,
        compiler_fd=fds[-1] if values.compiler else -1,
        device_memory_limit=values.device_memory_limit,
        stream_queue=values.stream_queue,
        context_memory=values.context_memory,
        environment=values.environment,
    )


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def _only_these(fds: list[int], *, keep_stderr: bool) -> list[int]:
    """Move `fds` to 3 and up in order, give 0 to 2 to /dev/null, and close everything else."""
    above = max([*fds, FD_FIRST + len(fds)]) + 1
    parked = []
    for offset, fd in enumerate(fds):
        os.dup2(fd, above + offset, inheritable=False)
        parked.append(above + offset)
    for offset, fd in enumerate(parked):
        os.dup2(fd, FD_FIRST + offset, inheritable=False)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1) if keep_stderr else (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(FD_FIRST + len(fds), FD_LAST)
    return list(range(FD_FIRST, FD_FIRST + len(fds)))
