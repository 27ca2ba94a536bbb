# SPDX-License-Identifier: Apache-2.0
"""`vgpu run [--zone Z] -- CMD`: run a program in a zone and pass its exit code on."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gpu_proxy.cli.places import library, runtime_dir, zone_socket

NOT_FOUND, NOT_EXECUTABLE, SIGNAL_BASE = 127, 126, 128
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="run a program in a zone")
    parser.add_argument("--zone", help="name of the zone; default: the only one")
    parser.add_argument("--runtime-dir", metavar="DIR", help="of gpu-proxy")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD ...")
    parser.set_defaults(run=run)


def environment(base: Mapping[str, str], socket: Path, lib: Path) -> dict[str, str]:
    """Return the variables with which a program finds libvgpu however it looks for libcuda."""
    result = dict(base)
    result["VGPU_SOCKET"] = str(socket)
    for name, value in (("LD_LIBRARY_PATH", str(lib.parent)), ("LD_PRELOAD", str(lib))):
        result[name] = f"{value}:{base[name]}" if base.get(name) else value
    return result


def run(options: argparse.Namespace) -> int:
    """Run the command; 128 + n when it died of signal n."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        print("vgpu run: no command given", file=sys.stderr)
        return 2
    socket = zone_socket(runtime_dir(options.runtime_dir), options.zone)
    try:
        child = subprocess.Popen(command, env=environment(os.environ, socket, library()))
    except OSError as error:
        print(f"vgpu run: {command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    _pass_signals_on(child)
    code = child.wait()
    return code if code >= 0 else SIGNAL_BASE - code


def _pass_signals_on(child: subprocess.Popen[bytes]) -> None:
    """The terminal interrupts the program itself; we only wait for what it does about it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in PASSED_ON:
        signal.signal(number, lambda received, _: child.send_signal(received))
