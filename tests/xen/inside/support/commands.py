# SPDX-License-Identifier: Apache-2.0
"""`vgpu domain` as an operator runs it in Dom0."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from domain import LOGS
from waiting import wait_until

SECONDS = 300
GUEST = Path("/guest")  # what make guest-image built
WORDS = [sys.executable, "-m", "gpu_proxy.cli.vgpu", "domain"]
# Emulated RDTSC is slow, and once was wrong on a machine far overloaded.
NATIVE_TSC = '--xl=tsc_mode = "native"'


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    output: str
    errors: str


class Running:
    """One command that goes on."""

    def __init__(self, *words: str, stdin: int = subprocess.PIPE) -> None:
        self.process = subprocess.Popen(
            [*WORDS, *words], cwd="/repo",
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def line(self) -> str:
        """The next line of its output; nothing after the last."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self, text: str | None = None, seconds: float = SECONDS) -> Done:
        """Wait for its end, with this as the rest of its input."""
        output, errors = self.process.communicate(text, timeout=seconds)
        return Done(self.process.returncode, output, errors)


def vgpu(*words: str, text: str = "") -> Done:
    """Run one to its end."""
    return Running(*words).end(text)


def create(name: str, folder: Path, *words: str, kind: str = "pvh") -> Done:
    """`vgpu domain create` of the pod image."""
    places = (f"--state-dir={folder}", f"--guest-dir={GUEST}", f"--type={kind}", NATIVE_TSC)
    return vgpu("create", f"--name={name}", "--memory=256", *places, *words)


def run(name: str, *command: str) -> str:
    """What a command in a domain printed; it must go well."""
    done = vgpu("exec", name, "--", *command)
    assert done.code == 0, done
    return done.output


def wait_ended(name: str, pid: str) -> None:
    """Until a process of a domain is no more."""
    alive = f"test -e /proc/{pid} && echo alive || echo gone"
    wait_until(lambda: run(name, "sh", "-c", alive) == "gone\n", f"{name}: process {pid} ends")


def console(name: str) -> str:
    """The end of what a domain's console has printed."""
    log = LOGS / f"guest-{name}.log"
    return log.read_text(errors="replace")[-4000:] if log.exists() else "no console"
