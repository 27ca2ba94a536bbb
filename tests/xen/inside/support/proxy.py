# SPDX-License-Identifier: Apache-2.0
"""gpu-proxy in Dom0, with the software GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from waiting import wait_until

from idm.xen import nodes
from idm.xen.store import Store

START_SECONDS = 120


class Proxy:
    """One daemon; its log is read as the lines that it writes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._arguments = arguments
        self.start(*arguments)

    def start(self, *arguments: str, path: str = "") -> None:
        """Start a daemon; `path` is where it finds modules of tests."""
        folder = self._folder
        self.log = folder / "gpu-proxy.log"
        self._seen = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-m", "gpu_proxy.cli.gpu_proxy", "--stub", "--xen"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"--runtime-dir={folder / 'run'}", *arguments],
                cwd="/repo",
                env={**os.environ, "PYTHONPATH": path},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.wait_for("ready", START_SECONDS)

    def lines(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """All lines of this daemon's log with this event and these fields."""
        found = []
        for text in self.text().splitlines():
            if text.startswith("{") and text.endswith("}"):
                line = json.loads(text)
                if line["event"] == event and all(line.get(k) == v for k, v in fields.items()):
                    found.append(line)
        return found

    def text(self) -> str:
        """The log since this daemon's start."""
        return self.log.read_bytes()[self._seen :].decode()

    def wait_for(self, event: str, seconds: float = 60, **fields: Any) -> dict[str, Any]:
        """Wait for such a line."""

        def there() -> list[dict[str, Any]]:
            assert self.process.poll() is None, f"gpu-proxy has ended\n{self.text()}"
            return self.lines(event, **fields)

        try:
            return wait_until(there, f"gpu-proxy says {event} {fields}", seconds)[-1]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()[-6000:]}") from None

    def announce(self, domain: int, zone: str, **more: str | int) -> None:
        """Do what the toolstack does for a domain with a GPU; keys as in xenstore, `_` for `-`."""
        keys = {name.replace("_", "-"): value for name, value in more.items()}
        store = Store()
        nodes.announce(store, nodes.GPU, domain, 0, {"zone": zone, **keys})
        store.close()
        self.wait_for("domain-served", domain=domain)

    def restart(self, *arguments: str, path: str = "") -> None:
        """Stop it, and start one with other arguments, or without any as it was."""
        self.stop()
        self.start(*(arguments or self._arguments), path=path)

    def stop(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.text()[-6000:]

    def kill(self) -> None:
        """End it at once; the zygote and workers end with it."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
