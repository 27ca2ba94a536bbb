# SPDX-License-Identifier: Apache-2.0
"""Commands in Dom0, through the shared folder: see `boot/jobs` for the other side."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.xen.machine import POLL_SECONDS, Machine
from tests.xen.places import HarnessError

CANCEL_SECONDS = 10
COPY_BYTES = 1 << 16


def run_job(machine: Machine, script: str, seconds: float) -> int:
    """Run a script in Dom0, print what it prints, and return its exit code."""
    job = submit(machine, script)
    try:
        return follow(machine, job, seconds)
    except KeyboardInterrupt:
        cancel(job)
        raise


def submit(machine: Machine, script: str) -> Path:
    """Hand the job over; it appears under its name when it is complete."""
    jobs = machine.share / "jobs"
    number = 1 + max((int(one.name) for one in jobs.glob("[0-9]*")), default=0)
    draft, job = jobs / f".{number}", jobs / str(number)
    draft.mkdir()
    (draft / "command").write_text(script)
    draft.rename(job)
    (machine.share / "look").touch()
    return job


def follow(machine: Machine, job: Path, seconds: float) -> int:
    """Print the output as it comes, until the job's exit code is there."""
    deadline = time.monotonic() + seconds
    position = 0
    while True:
        ended = (job / "status").exists()  # before the output is read: nothing is written later
        position = copy_output(job / "output", position)
        if ended:
            return int((job / "status").read_text())
        if not machine.is_running():
            raise HarnessError(f"Xen or Dom0 ended while the command ran\n{machine.tail()}")
        if time.monotonic() > deadline:
            cancel(job)
            raise HarnessError(f"the command did not end in {seconds:.0f} s\n{machine.tail()}")
        time.sleep(POLL_SECONDS)


def copy_output(file: Path, position: int) -> int:
    """Print what the file has from here on; the new position."""
    if not file.exists():
        return position
    with file.open("rb") as stream:
        stream.seek(position)
        while data := stream.read(COPY_BYTES):
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return stream.tell()


def cancel(job: Path) -> None:
    """Kill the job's processes, and wait a little for it: the machine may be kept."""
    (job / "cancel").touch()
    (job.parents[1] / "look").touch()
    deadline = time.monotonic() + CANCEL_SECONDS
    while not (job / "status").exists() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
