# SPDX-License-Identifier: Apache-2.0
"""`xl` and gpu-proxy, as far as xenstore shows them."""

from __future__ import annotations

import threading
from pathlib import Path

from fake_xen import BACK, STEP_SECONDS, FakeXen

from gpu_proxy.errors import ToolFailed
from idm.xen import nodes
from idm.xen.store import Store

NUMBER = 12


class Xl:
    """Makes and removes domain NUMBER."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[str] = []
        self.configuration = ""
        self.fails = ""
        self.running = threading.Event()

    def __call__(self, *arguments: object) -> str:
        words = [str(word) for word in arguments]
        self.calls.append(words[0])
        if words[0] == self.fails:
            raise ToolFailed(f"xl {words[0]} failed with 1:\nno")
        if words[0] == "create":
            self.configuration = Path(words[-1]).read_text()
            name = self.configuration.split('"')[1]
            for node, value in {"domid": NUMBER, "name": name}.items():
                self._store.write(f"/local/domain/{NUMBER}/{node}", value)
            self._store.write(f"/local/domain/{NUMBER}/memory/target", 512 << 10)
        elif words == ["unpause", str(NUMBER)]:
            self.running.set()
        elif words == ["destroy", str(NUMBER)]:
            self._store.remove(f"/local/domain/{NUMBER}")
        return ""


class GpuProxy(threading.Thread):
    """Serves what is announced to it; a domain that runs connects."""

    def __init__(self, xen: FakeXen, xl: Xl) -> None:
        super().__init__(daemon=True)
        self._store = xen.store(BACK)
        self._xl = xl
        self._path = nodes.back_path(BACK, nodes.GPU, NUMBER)
        self._ended = threading.Event()
        self.refuses = ""
        self.quota: dict[str, str | None] = {}
        self.guest_dies = False

    def run(self) -> None:
        while not self._ended.wait(STEP_SECONDS):
            state = self._store.read(f"{self._path}/state")
            if state == "1" and self.refuses:
                self._store.write(f"{self._path}/error", self.refuses)
            elif state == "1":
                names = ("zone", "device-memory", "host-memory", "sessions")
                self.quota = {name: self._store.read(f"{self._path}/{name}") for name in names}
                self._store.write(f"{self._path}/state", 2)
            elif state == "2" and self._xl.running.is_set():
                if self.guest_dies:
                    self._store.remove(f"/local/domain/{NUMBER}")
                    self._ended.set()
                else:
                    self._store.write(f"{self._path}/state", 4)

    def end(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join()
