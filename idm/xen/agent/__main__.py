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

from idm.errors import ChannelError
from idm.xen import nodes
from idm.xen.agent.gpu import LIMIT_PATH, GpuSessions
from idm.xen.front_channel import FrontChannel
from idm.xen.store import Store

DEFAULT_SOCKET = "/run/vgpu/proxy.sock"
SHARE_OF_ONE_SESSION = 2  # a session may have at most half of what the domain may grant


def log(text: str) -> None:
    """Write a line to the guest's console."""
    print(f"vgpu-agent: {text}", file=sys.stderr, flush=True)


class Agent:
    """One loop over xenstore, the channel and the applications."""

    def __init__(self, socket_path: Path, pages_max: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._store = Store()
        directory = f"device/{nodes.GPU}/0"
        self._channel = FrontChannel(self._store, directory, log)
        self._sessions = GpuSessions(
            self._selector, self._channel, _listen(socket_path), pages_max, log
        )
        self._watched_events = -1
        self._store.watch(f"device/{nodes.GPU}", nodes.GPU)
        self._selector.register(self._store.fd, selectors.EVENT_READ, lambda: None)

    def run(self) -> None:
        """Serve until killed."""
        while True:
            self._move()
            # Events come in with the answers to requests as well: the descriptor does not tell all.
            self._look()
            for key, _ in self._selector.select():
                act: Callable[[], None] = key.data
                act()

    def _look(self) -> None:
        """Follow changed nodes until there are none."""
        while self._store.events():
            was = self._channel.connected
            if self._channel.look():
                self._sessions.lost()
            self._watch_channel()
            if self._channel.connected and not was:
                log("connected")

    def _watch_channel(self) -> None:
        events = self._channel.events
        wanted = events.fd if events else -1
        if wanted == self._watched_events:
            return
        if self._watched_events >= 0:
            self._selector.unregister(self._watched_events)
        if wanted >= 0:
            self._selector.register(wanted, selectors.EVENT_READ, lambda: None)
        self._watched_events = wanted

    def _move(self) -> None:
        """Carry messages both ways until nothing moves."""
        try:
            while received := self._channel.transfer():
                for message in received:
                    self._sessions.received(message)
        except ChannelError as error:
            self._end(str(error))
        if self._channel.back_is_gone():
            self._end("gpu-proxy has unmapped it")

    def _end(self, why: str) -> None:
        if self._watched_events >= 0:
            self._selector.unregister(self._watched_events)
            self._watched_events = -1
        self._channel.end(why)
        self._sessions.lost()
        self._channel.look()  # The back end may have begun again before this.
        self._watch_channel()


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
    options = parser.parse_args()
    os.umask(0o022)
    Agent(options.socket, _pages_max(options.session_pages)).run()


if __name__ == "__main__":
    main()
