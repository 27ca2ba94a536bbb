# SPDX-License-Identifier: Apache-2.0
"""Runs a command of a domain as if it were here: signals, terminal, exit code."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from gpu_proxy.cli.run import SIGNAL_BASE
from gpu_proxy.domain.execution import Execution
from gpu_proxy.errors import DomainError, ExecutionCancelled
from idm.xen.exec_messages import Outcome

# Not SIGQUIT: it ends us at once, and with us the command, when a domain does not answer any more.
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
STDIN, STDOUT = 0, 1
Handler = Callable[[int, FrameType | None], None]


def open_standard_streams() -> None:
    """Have /dev/null where our caller has closed one: else the next file would be taken for it."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one


def terminal_size() -> tuple[int, int]:
    """Return rows and columns of our terminal. Raises DomainError when there is none."""
    if not (os.isatty(STDIN) and os.isatty(STDOUT)):
        raise DomainError("-t: standard input and output are not a terminal")
    columns, rows = os.get_terminal_size(STDOUT)
    return rows, columns


def run_in_foreground(execution: Execution, *, terminal: bool) -> int:
    """Run to the end; the exit code, 128 + n when it died of signal n. Raises DomainError."""
    try:
        with _signals_to(execution, terminal=terminal), _raw(terminal):
            outcome = execution.run()
    except ExecutionCancelled as error:
        return SIGNAL_BASE + error.number
    return exit_code(outcome)


def exit_code(outcome: Outcome) -> int:
    """Return what to exit with; why it never started is said."""
    if outcome.failure:
        # The domain wrote this text: it must not steer our terminal.
        text = "".join(
            c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in outcome.failure
        )
        print(f"vgpu domain: {text}", file=sys.stderr)
    return SIGNAL_BASE + outcome.signal if outcome.signal else outcome.code


@contextmanager
def _signals_to(execution: Execution, *, terminal: bool) -> Iterator[None]:
    def pass_on(number: int, _: FrameType | None) -> None:
        execution.signal(number)

    def resize(_: int, __: FrameType | None) -> None:
        with suppress(OSError):  # the terminal has gone meanwhile: a hang-up follows
            columns, rows = os.get_terminal_size(STDOUT)
            execution.resize(rows, columns)

    handlers: dict[signal.Signals, Handler] = dict.fromkeys(PASSED_ON, pass_on)
    if terminal:
        handlers[signal.SIGWINCH] = resize
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _raw(wanted: bool) -> Iterator[None]:
    """Let every key reach the domain's terminal, ctrl-C included."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(STDIN)
    tty.setraw(STDIN)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)
