# SPDX-License-Identifier: Apache-2.0
"""`python -m idm.xen.agent`: started by the guest's init, as root; runs until it is killed."""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from idm.xen import nodes
from idm.xen.agent.exec import ExecService
from idm.xen.agent.gpu import LIMIT_PATH, GpuSessions
from idm.xen.agent.image_root import LIBRARIES, ImageRoot
from idm.xen.agent.served import Served
from idm.xen.agent.settings import setting
from idm.xen.front_channel import FrontChannel
from idm.xen.store import Store

DEFAULT_SOCKET = "/run/vgpu/proxy.sock"
SHARE_OF_ONE_SESSION = 2  # a session may have at most half of what the domain may grant


def log(text: str) -> None:
    """Write a line to the guest's console."""
    print(f"vgpu-agent: {text}", file=sys.stderr, flush=True)


class Agent:
    """One loop over xenstore, the channels, the applications and the toolstack's commands."""

    def __init__(self, store: Store, socket_path: Path, pages_max: int, image: ImageRoot) -> None:
        self._selector = selectors.DefaultSelector()
        self._store = store
        channel = FrontChannel(store, f"device/{nodes.GPU}/0", log)
        sessions = GpuSessions(self._selector, channel, _listen(socket_path), pages_max, log)
        self._gpu = Served(self._selector, channel, sessions.received, sessions.lost)
        self._exec = ExecService(self._selector, store, image, log)
        store.watch(f"device/{nodes.GPU}", nodes.GPU)
        self._selector.register(store.fd, selectors.EVENT_READ, lambda: None)

    def run(self) -> None:
        """Serve until killed."""
        while True:
            self.step(None)

    def step(self, seconds: float | None) -> None:
        """Do what there is to do, then wait for more and take it in."""
        self._gpu.move()
        self._exec.move()
        # Events come in with the answers to requests as well: the descriptor does not tell all.
        self._look()
        for key, _ in self._selector.select(seconds):
            act: Callable[[], None] = key.data
            act()

    def _look(self) -> None:
        """Follow changed nodes until there are none."""
        while self._store.events():
            was = self._gpu.channel.connected
            self._gpu.look()
            self._exec.look()
            if self._gpu.channel.connected and not was:
                log("connected")


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen(128)
    return listener


def _pages_max(given: int) -> int:
    """Return how many pages a session may have: given, or a share of the domain's limit."""
    if given:
        return given
    return int(LIMIT_PATH.read_text()) // SHARE_OF_ONE_SESSION


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="vgpu-agent", description=__doc__)
    parser.add_argument("--socket", type=Path, default=Path(DEFAULT_SOCKET))
    parser.add_argument(
        "--session-pages", type=int, default=0, help="granted pages of one session at most"
    )
    parser.add_argument("--image", metavar="DEVICE", help="root of commands; default: vgpu.image")
    parser.add_argument(
        "--libraries", type=Path, default=LIBRARIES, metavar="DIR", help="that has libcuda.so.1"
    )
    options = parser.parse_args()
    os.umask(0o022)
    store = Store()
    image = options.image if options.image is not None else setting(store, "image")
    root = ImageRoot(image, options.libraries)
    Agent(store, options.socket, _pages_max(options.session_pages), root).run()


if __name__ == "__main__":
    main()
