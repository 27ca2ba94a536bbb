# SPDX-License-Identifier: Apache-2.0
"""This terminal, connected to the shell on Dom0's second serial port."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from tests.xen.machine import Machine
from tests.xen.places import HarnessError

LEAVE = b"\x1d"  # ctrl-]
READ_BYTES = 4096


def run_shell(machine: Machine) -> None:
    """Until ctrl-], or until the shell or the machine ends."""
    if not sys.stdin.isatty():
        raise HarnessError("--shell needs a terminal; --command runs one command")
    size = os.get_terminal_size()
    with connect(machine) as port, raw_terminal():
        os.write(1, b"Dom0's shell; ctrl-] leaves it\r\n")
        port.sendall(f" stty rows {size.lines} cols {size.columns}\n".encode())
        relay(machine, port)


def connect(machine: Machine) -> socket.socket:
    """The port's socket, whose path may be longer than a socket's address can be."""
    folder = os.open(machine.folder, os.O_PATH)
    port = socket.socket(socket.AF_UNIX)
    try:
        port.connect(f"/proc/self/fd/{folder}/shell.sock")
    finally:
        os.close(folder)
    return port


@contextmanager
def raw_terminal() -> Iterator[None]:
    """Every key goes to Dom0, ctrl-c as well."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def relay(machine: Machine, port: socket.socket) -> None:
    """Both directions."""
    ended = machine.share / "shell-ended"
    ended.unlink(missing_ok=True)
    while not ended.exists():
        ready, _, _ = select.select([0, port], [], [], 0.5)
        if 0 in ready:
            keys = os.read(0, READ_BYTES)
            if LEAVE in keys or not keys:
                return
            port.sendall(keys)
        if port in ready:
            text = port.recv(READ_BYTES)
            if not text:
                return
            os.write(1, text)
