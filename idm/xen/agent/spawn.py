# SPDX-License-Identifier: Apache-2.0
"""Starts a command: forks, and in the child enters its root, terminal and user before it runs.

Precondition: the agent has one thread, so the child may do whatever Python can.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from idm.xen.exec_messages import Request

NOT_FOUND, NOT_EXECUTABLE, CANNOT = 127, 126, 125  # as shells have it
REPORT = struct.Struct("<i")  # exit code; the text follows
REPORT_MAX = 4096
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class SpawnError(Exception):
    """The command could not be started; `code` is what a shell would exit with."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Spawned:
    """A running command and our ends of its descriptors; `terminal` when they are one."""

    pid: int
    stdin: int
    stdout: int
    stderr: int = -1
    terminal: int = -1


def spawn(request: Request, root: str, environment: Mapping[str, str]) -> Spawned:
    """Run the command in a session of its own. Raises SpawnError."""
    if not request.argv:
        raise SpawnError(CANNOT, "no command given")
    ours, theirs = _terminal(request.terminal) if request.terminal else _pipes()
    told, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(request, root, environment, theirs, telling)
    for fd in {*theirs, telling}:
        os.close(fd)
    report = _read_report(told)
    if not report:
        return Spawned(pid, *ours)
    os.waitpid(pid, 0)
    for fd in {fd for fd in ours if fd >= 0}:
        os.close(fd)
    (code,) = REPORT.unpack_from(report)
    raise SpawnError(code, report[REPORT.size :].decode("utf-8", "replace"))


def set_size(terminal: int, rows: int, columns: int) -> None:
    """Set a terminal's size; the kernel tells the programs on it."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _pipes() -> tuple[tuple[int, ...], tuple[int, int, int]]:
    (stdin, feed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
    for fd in (feed, out, err):
        os.set_blocking(fd, False)
    return (feed, out, err), (stdin, stdout, stderr)


def _terminal(size: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    master, slave = pty.openpty()
    set_size(master, *size)
    os.set_blocking(master, False)
    # One descriptor a direction, as with pipes: a selector has each descriptor once.
    return (os.dup(master), master, -1, master), (slave, slave, slave)


def _read_report(told: int) -> bytes:
    """Wait until the child has run its program, or has said why not."""
    report = b""
    while more := os.read(told, REPORT_MAX):
        report += more
    os.close(told)
    return report


def _become(
    request: Request,
    root: str,
    environment: Mapping[str, str],
    fds: Sequence[int],
    telling: int,
) -> NoReturn:
    """Become the command. Never returns."""
    try:
        _enter(request, root, fds)
        os.closerange(3, telling)
        os.closerange(telling + 1, os.sysconf("SC_OPEN_MAX"))
        _run(request.argv, environment)
    except SpawnError as error:
        _tell(telling, error.code, str(error))
    except BaseException as error:  # noqa: BLE001 - nothing of the agent may go on in the child
        _tell(telling, CANNOT, f"cannot start {request.argv[0]}: {error}")
    finally:
        os._exit(CANNOT)


def _tell(telling: int, code: int, text: str) -> None:
    os.write(telling, (REPORT.pack(code) + text.encode("utf-8", "replace"))[:REPORT_MAX])


def _enter(request: Request, root: str, fds: Sequence[int]) -> None:
    os.setsid()
    for number in IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
    if request.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.fchown(0, request.uid, -1)  # the user may open it by its name as well
    if root != "/":
        os.chroot(root)
    try:
        os.chdir(request.directory)
    except OSError as error:
        raise SpawnError(CANNOT, f"directory {request.directory}: {error.strerror}") from None
    if os.geteuid() == 0:
        os.setgroups([])
    os.setgid(request.gid)
    os.setuid(request.uid)


def _run(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    try:
        os.execvpe(argv[0], list(argv), environment)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        text = f"{argv[0]}: {error.strerror}"
        raise SpawnError(NOT_FOUND if missing else NOT_EXECUTABLE, text) from None
