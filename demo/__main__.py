# SPDX-License-Identifier: Apache-2.0
"""`make demo`: ordinary CUDA programs compute in two zones at once, on the software GPU.

Builds the programs, starts `gpu-proxy --stub` with the zones alpha and beta, runs each program in
one of them, started in one of three ways, and prints what the front end counted beside what the
worker counted. Exits with 1 when a program finds a wrong number, or when the two accounts differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo import toolkit
from gpu_proxy.counters import CountersReader, SessionRow, segment_name
from libvgpu.interface import library_path

HERE = Path(__file__).resolve().parent
COMMANDS = Path(sys.executable).parent  # of the environment that make made
BUILD = HERE.parent / "build" / "demo"
ZONES = ("alpha", "beta")
START_SECONDS = 60
ACCOUNT_SECONDS = 10
WIDTH = 140
COLUMNS = ("zone", "started by", "program", "device", "counted by", "local", "posted", "forwarded",
           "bytes in", "bytes out", "seconds", "agree")  # fmt: skip
COMPARED = ("posted", "forwarded", "bytes_in", "bytes_out")


@dataclass(frozen=True)
class Run:
    """One program in one zone, started in one way."""

    zone: str
    way: str
    program: Path


@dataclass(frozen=True)
class Outcome:
    """What a run printed, and what its front end counted."""

    run: Run
    returncode: int
    output: str
    seconds: float
    counted: dict[str, int | str]


def build_programs() -> dict[str, Path]:
    """The runtime-API programs by nvcc, and the driver-API one that compiles its PTX with NVRTC."""
    for part in ("compiler", "13", "nvrtc"):
        toolkit.install(part)
    sources = {source.stem: source for source in (HERE / "programs").glob("*.c*")}
    return {
        name: toolkit.build_program(source, BUILD / name)
        for name, source in sorted(sources.items())
    }


@contextmanager
def daemon(runtime: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`gpu-proxy --stub` with both zones, until the block ends."""
    command = [str(COMMANDS / "gpu-proxy"), "--stub"]
    command += ["--runtime-dir", str(runtime / "run"), "--state-dir", str(runtime / "state")]
    for zone in ZONES:
        command += ["--zone", zone]
    with (runtime / "gpu-proxy.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        _wait_for_sockets(process, runtime)
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_for_sockets(process: subprocess.Popen[bytes], runtime: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not all((runtime / "run" / zone / "proxy.sock").exists() for zone in ZONES):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"gpu-proxy did not start:\n{(runtime / 'gpu-proxy.log').read_text()}")
        time.sleep(0.05)


def environment(run: Run, runtime: Path, stats: Path) -> tuple[dict[str, str], list[str]]:
    """Variables and command of a run: the three ways in which a program finds libvgpu."""
    library = library_path()
    settings = dict(os.environ, VGPU_STATS=str(stats), **toolkit.environment(13))
    settings["VGPU_SOCKET"] = str(runtime / "run" / run.zone / "proxy.sock")
    command = [str(run.program)]
    if run.way == "LD_PRELOAD":
        settings["LD_PRELOAD"] = str(library)
    elif run.way == "library path":
        settings["LD_LIBRARY_PATH"] = f"{library.parent}:{settings['LD_LIBRARY_PATH']}"
    else:
        del settings["VGPU_SOCKET"]
        vgpu = [str(COMMANDS / "vgpu"), "run", "--zone", run.zone]
        command = [*vgpu, "--runtime-dir", str(runtime / "run"), "--", *command]
    return settings, command


def perform(run: Run, runtime: Path) -> Outcome:
    """Run one program to its end."""
    with tempfile.NamedTemporaryFile(dir=runtime, suffix=".stats") as file:
        settings, command = environment(run, runtime, Path(file.name))
        begin = time.monotonic()
        done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - begin
        text = Path(file.name).read_text()
    counted = json.loads(text.splitlines()[-1]) if text else {}
    return Outcome(run, done.returncode, done.stdout + done.stderr, seconds, counted)


def worker_account(runtime: Path, outcome: Outcome) -> SessionRow | None:
    """The ended session's row in the counters' segment; it appears shortly after the end."""
    deadline = time.monotonic() + ACCOUNT_SECONDS
    while time.monotonic() < deadline:
        reader = CountersReader(segment_name(runtime / "run"))
        for row in reader.read().sessions:
            if row.session == outcome.counted.get("session") and not row.live:
                return row
        time.sleep(0.05)
    return None


def agrees(outcome: Outcome, row: SessionRow | None) -> bool:
    """Front end and worker count on their own; every number must be the same."""
    return row is not None and all(outcome.counted.get(n) == row.counters[n] for n in COMPARED)


def report(outcomes: list[Outcome], rows: list[SessionRow | None]) -> None:
    """The table: for each process one line of its front end, and one of its worker.

    Seconds are the process's own for the front end, and for the worker those that it was busy.
    """
    table = Table(*COLUMNS, title="Two zones, one driver domain, no GPU")
    for outcome, row in zip(outcomes, rows, strict=True):
        counted, run = outcome.counted, outcome.run
        numbers = [str(counted.get(name, "-")) for name in ("local", *COMPARED)]
        device = str(counted.get("device", "-"))
        front = ["front end", *numbers, f"{outcome.seconds:.3f}"]
        verdict = "yes" if agrees(outcome, row) else "NO"
        table.add_row(run.zone, run.way, run.program.name, device, *front, verdict)
        if row is not None:
            numbers = [str(row.counters[name]) for name in COMPARED]
            busy = f"{row.counters['busy_ns'] / 1e9:.3f}"
            table.add_row("", "", "", "", "worker", "", *numbers, busy, "", end_section=True)
    Console(width=max(WIDTH, Console().width)).print(table)


def main() -> int:
    """Build, start, run, compare."""
    print("building the programs (the first time this downloads 190 MB of CUDA toolkit from PyPI)")
    programs = list(build_programs().values())
    ways = ("LD_PRELOAD", "library path", "vgpu run")
    runs = [
        Run(ZONES[(index + way) % 2], ways[way], program)
        for index, program in enumerate(programs)
        for way in range(len(ways))
    ]
    with tempfile.TemporaryDirectory(prefix="vgpu-demo-") as name:
        runtime = Path(name)
        with daemon(runtime), ThreadPoolExecutor(len(ZONES)) as pool:
            outcomes = list(pool.map(lambda run: perform(run, runtime), runs))
            rows = [worker_account(runtime, outcome) for outcome in outcomes]
        log = (runtime / "gpu-proxy.log").read_text()
    for outcome in outcomes:
        for line in outcome.output.splitlines():
            print(f"{outcome.run.zone:>6} | {outcome.run.program.name:>12} | {line}")
    report(outcomes, rows)
    good = all(agrees(*pair) for pair in zip(outcomes, rows, strict=True))
    good = good and all(outcome.returncode == 0 for outcome in outcomes)
    print("every number is right, and both accounts agree" if good else f"FAILED\n{log}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
