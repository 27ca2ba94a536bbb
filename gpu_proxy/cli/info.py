# SPDX-License-Identifier: Apache-2.0
"""`vgpu info`: what a running gpu-proxy serves, once, for people or as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from gpu_proxy.cli.places import runtime_dir
from gpu_proxy.counters import CountersReader, Report, SessionRow, ZoneRow, segment_name
from gpu_proxy.sizes import format_size

PIPE_COLUMNS = 160
NARROW: dict[str, Any] = {"padding": (0, 1, 0, 0), "pad_edge": False}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("info", help="what the running gpu-proxy serves")
    parser.add_argument("--runtime-dir", metavar="DIR", help="of gpu-proxy")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def read(directory: str | None) -> Report:
    """Return one report. Raises CountersError."""
    reader = CountersReader(segment_name(runtime_dir(directory)))
    try:
        return reader.read()
    finally:
        reader.close()


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    report = read(options.runtime_dir)
    if options.json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
        return 0
    console = output()
    console.print(heading(report), highlight=False)
    console.print(zone_table(report.zones))
    console.print(session_table(report.sessions))
    return 0


def output() -> Console:
    """Return where tables go; a file or a pipe has room for all columns."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_COLUMNS)


def heading(report: Report) -> str:
    """Return a line about the daemon."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.started))
    names = ", ".join(report.devices)
    return f"gpu-proxy {report.pid}, {report.mode} mode, since {since}: {names}"


def of_limit(used: int, limit: int) -> str:
    """Return "used / limit" in bytes."""
    return f"{format_size(used)} / {format_size(limit)}"


def zone_table(zones: list[ZoneRow]) -> Table:
    """Return the table of zones."""
    columns = ("zone", "sessions", "device memory", "host memory", "calls", "launches", "errors")
    table = _table("zones", columns, text=1)
    for zone in zones:
        table.add_row(
            zone.name,
            f"{zone.sessions} / {zone.sessions_limit}",
            of_limit(zone.device_used, zone.device_limit),
            of_limit(zone.host_used, zone.host_limit),
            *(str(zone.counters[name]) for name in ("calls", "launches", "errors")),
        )
    return table


def session_table(sessions: list[SessionRow]) -> Table:
    """Return the table of sessions."""
    counted = ("calls", "launches", "errors")
    columns = ("zone", "program", "state", "session", "pid", "in", "out", *counted)
    table = _table("sessions", columns, text=3)
    for session in sessions:
        table.add_row(
            session.zone,
            session.program,
            "live" if session.live else "ended",
            str(session.session),
            str(session.pid),
            format_size(session.counters["bytes_in"]),
            format_size(session.counters["bytes_out"]),
            *(str(session.counters[name]) for name in counted),
        )
    return table


def _table(title: str, columns: tuple[str, ...], *, text: int) -> Table:
    """Return an empty table; the first `text` columns are texts, the others numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, **NARROW)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < text else "right", no_wrap=True)
    return table
