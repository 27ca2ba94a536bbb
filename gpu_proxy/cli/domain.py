# SPDX-License-Identifier: Apache-2.0
"""`vgpu domain create | list | exec | destroy`: pod domains with a virtual GPU, through xl."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

from rich import box
from rich.table import Table

from gpu_proxy.cli.foreground import open_standard_streams, run_in_foreground, terminal_size
from gpu_proxy.cli.info import NARROW, output
from gpu_proxy.cli.run import SIGNAL_BASE
from gpu_proxy.domain import domains
from gpu_proxy.domain.execution import Execution
from gpu_proxy.domain.guest import find_guest
from gpu_proxy.domain.life import Toolstack
from gpu_proxy.domain.pod import Pod
from gpu_proxy.errors import DomainError
from gpu_proxy.settings import default_runtime_dir, default_state_dir
from gpu_proxy.sizes import parse_size
from idm.xen.exec_messages import Request
from idm.xen.store import Store

MIB = 1 << 20
FOLDER = ".domains"  # of the state directory; no zone can have this name
COMMAND_HELP = "the command; its standard streams, signals and exit code are this one's"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser("domain", help="pod domains on Xen")
    below = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_create(below)
    _add_exec(below)
    one = below.add_parser("list", help="the domains that have a GPU")
    one.add_argument("--json", action="store_true", help="for programs")
    one.set_defaults(run=run_list)
    one = below.add_parser("destroy", help="end a domain, and remove what belongs to it")
    one.add_argument("name", metavar="NAME")
    _add_state_dir(one)
    one.set_defaults(run=run_destroy)


def _add_create(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("create", help="make a domain, and run a command in it")
    one.add_argument("--name", required=True)
    one.add_argument("--memory", type=memory_mib, default=512, metavar="MIB|SIZE")
    one.add_argument("--vcpus", type=int, default=1, metavar="N")
    one.add_argument("--type", choices=("pvh", "pv", "hvm"), default="pvh")
    one.add_argument(
        "--image", type=Path, metavar="IMAGE|DIR", help="program tree: disk image or directory"
    )
    one.add_argument("--gpu-memory", type=size, metavar="SIZE", help="device memory of the zone")
    one.add_argument("--host-memory", type=size, metavar="SIZE", help="in gpu-proxy's domain")
    one.add_argument("--sessions", type=int, metavar="N", help="of the zone at once")
    one.add_argument("--zone", default="", help="default: the domain's name")
    one.add_argument("--network", action="append", default=[], metavar="VIF", help="xl's syntax")
    one.add_argument("--grant-frames", type=int, default=0, metavar="N", help="max_grant_frames")
    one.add_argument(
        "--xl", action="append", default=[], metavar="LINE", help="a line for xl's configuration"
    )
    one.add_argument("--backend", metavar="DOMAIN", help="where gpu-proxy runs; default: here")
    one.add_argument("--guest-dir", type=Path, metavar="DIR", help="kernel and root image")
    one.add_argument("--rm", action="store_true", help="destroy the domain when CMD has ended")
    _add_state_dir(one)
    _add_command(one)
    one.set_defaults(run=run_create)


def _add_exec(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("exec", help="run a command in a domain")
    _add_how(one)
    one.add_argument("name", metavar="NAME")
    one.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD ...", help=COMMAND_HELP)
    one.set_defaults(run=run_exec)


def _add_command(parser: argparse.ArgumentParser) -> None:
    _add_how(parser)
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- CMD ...", help=COMMAND_HELP
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--terminal", action="store_true", help="give it a terminal")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--cwd", default="/", metavar="DIR")
    parser.add_argument("--user", type=user, default=(0, 0), metavar="UID[:GID]")
    parser.add_argument("--guest-root", action="store_true", help="run it outside the image")


def _add_state_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="for configurations")


def size(text: str) -> int:
    """Return bytes."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def memory_mib(text: str) -> int:
    """Return MiB: a plain number as xl has it, or a size."""
    return int(text) if text.isdecimal() else size(text) // MIB


def user(text: str) -> tuple[int, int]:
    """Return numbers of user and group; the domain's names are not ours."""
    uid, _, gid = text.partition(":")
    if not uid.isdecimal() or not (gid or uid).isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not UID or UID:GID, in numbers")
    return int(uid), int(gid or uid)


def request_of(options: argparse.Namespace) -> Request | None:
    """Return what to run; None when no command is given. Raises DomainError."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        return None
    if command[0].startswith("-"):
        raise DomainError(f"{command[0]}: options come before the name, the command after --")
    environment = {}
    for text in options.env:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise DomainError(f"--env {text}: not NAME=VALUE")
        environment[name] = value
    if options.terminal:
        environment.setdefault("TERM", os.environ.get("TERM", "linux"))
    return Request(
        argv=tuple(command),
        environment=environment,
        directory=options.cwd,
        root="/" if options.guest_root else "",
        uid=options.user[0],
        gid=options.user[1],
        terminal=terminal_size() if options.terminal else None,
    )


def run_create(options: argparse.Namespace) -> int:
    """`vgpu domain create`."""
    open_standard_streams()
    request = request_of(options)
    if options.rm and not request:
        raise DomainError("--rm: no command whose end it could wait for")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # what was made goes away with us
    pod = pod_of(options)
    try:
        with closing(domains.connect()) as store:
            toolstack = _toolstack(options, store)
            back = domains.require(store, options.backend) if options.backend else None
            number = toolstack.create(pod, back)
            if request is None:
                print(f"domain {pod.name} is {number}")
                return 0
            try:
                return _execute(number, request)
            finally:
                if options.rm:
                    toolstack.destroy(pod.name)
    except KeyboardInterrupt:
        print(f"vgpu domain: interrupted: nothing is left of {pod.name}", file=sys.stderr)
        return SIGNAL_BASE + signal.SIGINT


def pod_of(options: argparse.Namespace) -> Pod:
    """Return what is to be created. Raises DomainError."""
    quota = {
        "device-memory": options.gpu_memory,
        "host-memory": options.host_memory,
        "sessions": options.sessions,
    }
    return Pod(
        name=options.name,
        memory_mib=options.memory,
        guest=find_guest(options.guest_dir),
        image=options.image and options.image.absolute(),
        kind=options.type,
        vcpus=options.vcpus,
        grant_frames=options.grant_frames,
        networks=tuple(options.network),
        more=tuple(options.xl),
        zone=options.zone,
        quota={key: value for key, value in quota.items() if value is not None},
    )


def run_exec(options: argparse.Namespace) -> int:
    """`vgpu domain exec`."""
    open_standard_streams()
    request = request_of(options)
    if request is None:
        raise DomainError("no command given: vgpu domain exec NAME -- CMD")
    with closing(domains.connect()) as store:
        number = domains.require(store, options.name)
    return _execute(number, request)


def run_destroy(options: argparse.Namespace) -> int:
    """`vgpu domain destroy`."""
    with closing(domains.connect()) as store:
        _toolstack(options, store).destroy(options.name)
    return 0


def run_list(options: argparse.Namespace) -> int:
    """`vgpu domain list`."""
    with closing(domains.connect()) as store:
        found = domains.pod_domains(store)
    if options.json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return 0
    table = Table(box=box.SIMPLE, **NARROW)
    for name in ("name", "domain", "memory", "zone", "gpu", "gpu-proxy in", "commands"):
        table.add_column(name, no_wrap=True)
    for one in found:
        memory = f"{one.memory_kib >> 10} MiB"
        cells = (one.name, one.number, memory, one.zone, one.state, one.back, one.commands)
        table.add_row(*map(str, cells))
    output().print(table)
    return 0


def _execute(domain: int, request: Request) -> int:
    with closing(domains.connect()) as store:
        execution = Execution(store, domain, domains.own_number(store), request)
        return run_in_foreground(execution, terminal=request.terminal is not None)


def _toolstack(options: argparse.Namespace, store: Store) -> Toolstack:
    state = options.state_dir or default_state_dir(default_runtime_dir(), chosen=False)
    return Toolstack(store, state.absolute() / FOLDER)
