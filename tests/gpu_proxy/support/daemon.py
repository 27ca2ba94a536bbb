# SPDX-License-Identifier: Apache-2.0
"""A real daemon for tests, with the scripted worker unless told otherwise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent
SECONDS = 30.0
REAL_GPU = bool(os.environ.get("VGPU_TEST_REAL_GPU"))  # make gpu


class Daemon:
    """Started in the constructor; its log is read from a file."""

    def __init__(self, runtime_dir: Path, *arguments: str, wrapper: tuple[str, ...] = ()) -> None:
        self.runtime_dir = runtime_dir
        self.log_path = runtime_dir.with_suffix(".log")
        self.log_path.touch()
        self._log_start = self.log_path.stat().st_size  # an earlier daemon's lines are not ours
        command = [*wrapper, sys.executable, "-m", "gpu_proxy.cli.gpu_proxy"]
        command += [] if REAL_GPU else ["--stub"]
        command += [f"--runtime-dir={runtime_dir}", "--probe-module=fake_probe"]
        command += ["--worker-module=scripted_worker", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )

    def socket(self, zone: str = "default") -> Path:
        """Return the path of a zone's socket."""
        return self.runtime_dir / zone / "proxy.sock"

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far; what is no JSON is kept as text."""
        result = []
        text = self.log_path.read_bytes()[self._log_start :].decode(errors="replace")
        for line in text.splitlines():
            try:
                result.append(json.loads(line))
            except json.JSONDecodeError:
                result.append({"event": "text", "text": line})
        return result

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Return the first line of this event with these fields."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for line in self.lines():
                wanted = {"event": event, **fields}
                if all(line.get(key) == value for key, value in wanted.items()):
                    return line
            if self.process.poll() is not None and event != "stopped":
                break
            time.sleep(0.02)
        raise AssertionError(f"no {event} {fields} in:\n{self.log_path.read_text()}")

    def wait_ready(self) -> Daemon:
        """Wait until it serves."""
        self.wait_for("ready")
        return self

    def stop(self) -> int:
        """Stop in order and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def check_log(self) -> None:
        """Fail when the daemon has met a bug of its own."""
        bugs = [x for x in self.lines() if x["event"] in ("internal-error", "session-failed")]
        assert not bugs, bugs
