# SPDX-License-Identifier: Apache-2.0
"""A daemon with its real worker, and applications as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from daemon import Daemon

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
SECONDS = 120


class Application:
    """A Python script that runs as an application of a zone."""

    def __init__(self, script: str, socket: Path | str, **environment: str) -> None:
        settings = {
            **os.environ,
            "PYTHONPATH": f"{HERE}:{ROOT}",
            "VGPU_SOCKET": str(socket),
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            env=settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> list[str]:
        """The next line that the script says, in words."""
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line.split()

    def say(self, *words: object) -> None:
        """Answer the script."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def end(self, expected: int = 0) -> tuple[str, str]:
        """Wait for the end; what it printed."""
        out, err = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == expected, f"exit {self.process.returncode}\n{out}\n{err}"
        return out, err

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class Proxy(Daemon):
    """gpu-proxy with its real worker and probe."""

    def __init__(self, runtime_dir: Path, *arguments: str) -> None:
        state = runtime_dir.with_name("state")
        super().__init__(
            runtime_dir,
            f"--state-dir={state}",
            "--probe-module=gpu_proxy.probe",
            "--worker-module=gpu_proxy.worker",
            "--worker-stderr",
            *arguments,
        )
        self.wait_ready()

    def run(self, script: str, zone: str = "default", expected: int = 0, **environment: str) -> str:
        """Run a script to its end; what it printed."""
        return self.start(script, zone, **environment).end(expected)[0]

    def start(self, script: str, zone: str = "default", **environment: str) -> Application:
        return Application(script, self.socket(zone), **environment)

    def ended(self, session: int) -> dict:
        return self.wait_for("session-ended", session=session)


def wait_until(condition, what: str, seconds: float = 30):
    """Wait for a condition; the test fails with `what` when it does not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"still not so after {seconds} s: {what}")
