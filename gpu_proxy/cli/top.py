# SPDX-License-Identifier: Apache-2.0
"""`vgpu top`: a live table of zones and sessions."""

from __future__ import annotations

import argparse
import time

from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table

from gpu_proxy.cli.info import NARROW, heading, of_limit, output
from gpu_proxy.cli.places import runtime_dir
from gpu_proxy.counters import CountersReader, Report, segment_name
from gpu_proxy.sizes import format_size

INTERVAL_MIN = 0.25
COLUMNS = ("session", "calls/s", "in/s", "out/s", "launches/s", "device memory", "errors")
Key = tuple[str, int]  # zone and session; session 0 is the zone as a whole


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("top", help="live table of zones and sessions")
    parser.add_argument("--runtime-dir", metavar="DIR", help="of gpu-proxy")
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--once", action="store_true", help="print one table and exit")
    parser.set_defaults(run=run)


class Rates:
    """Differences between two readings, per second."""

    def __init__(self, earlier: Report, later: Report, seconds: float) -> None:
        self._earlier, self._later = _counted(earlier), _counted(later)
        self._seconds = max(seconds, 1e-6)

    def of(self, key: Key, name: str) -> float:
        """Return the rate of one counter; what is new began at zero."""
        now = self._later.get(key, {}).get(name, 0)
        before = self._earlier.get(key, {}).get(name, 0)
        return max(now - before, 0) / self._seconds


def _counted(report: Report) -> dict[Key, dict[str, int]]:
    rows = {(zone.name, 0): zone.counters for zone in report.zones}
    return rows | {(s.zone, s.session): s.counters for s in report.sessions}


def table(report: Report, rates: Rates) -> Table:
    """Return the table: each zone, and its live sessions below it."""
    result = Table(box=box.SIMPLE, **NARROW)
    result.add_column("zone / program")
    for column in COLUMNS:
        result.add_column(column, justify="right")
    for zone in report.zones:
        live = [s for s in report.sessions if s.live and s.zone == zone.name]
        memory = of_limit(zone.device_used, zone.device_limit)
        count = f"{len(live)} live"
        result.add_row(
            zone.name, count, *_rates(rates, (zone.name, 0)), memory,
            str(zone.counters["errors"]), style="bold",
        )  # fmt: skip
        for session in live:
            result.add_row(
                f"  {session.program}", str(session.session),
                *_rates(rates, (zone.name, session.session)),
                format_size(session.device_bytes), str(session.counters["errors"]),
            )  # fmt: skip
    return result


def _rates(rates: Rates, key: Key) -> tuple[str, ...]:
    return (
        f"{rates.of(key, 'calls'):.0f}",
        format_size(rates.of(key, "bytes_in")),
        format_size(rates.of(key, "bytes_out")),
        f"{rates.of(key, 'launches'):.0f}",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    interval = max(options.interval, INTERVAL_MIN)
    reader = CountersReader(segment_name(runtime_dir(options.runtime_dir)))
    try:
        if options.once:
            output().print(_next(reader, interval, reader.read())[1])
        else:
            _watch(reader, interval)
    except KeyboardInterrupt:
        return 0
    finally:
        reader.close()
    return 0


def _next(reader: CountersReader, interval: float, earlier: Report) -> tuple[Report, Group]:
    """Wait for the next reading and return it with what to show."""
    began = time.monotonic()
    time.sleep(interval)
    report = reader.read()
    rates = Rates(earlier, report, time.monotonic() - began)
    return report, Group(heading(report), table(report, rates))


def _watch(reader: CountersReader, interval: float) -> None:
    report = reader.read()
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            report, shown = _next(reader, interval, report)
            live.update(shown, refresh=True)
