# SPDX-License-Identifier: Apache-2.0
"""Commands that the toolstack runs in the zone: an instance of `vgpu-exec` and a channel each."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Mapping

from idm.errors import ChannelError
from idm.xen import exec_messages as said
from idm.xen import nodes
from idm.xen.agent.command import Command
from idm.xen.agent.image_root import ImageError, ImageRoot
from idm.xen.agent.served import Served
from idm.xen.agent.spawn import CANNOT, SpawnError
from idm.xen.exec_messages import Request
from idm.xen.front_channel import FrontChannel
from idm.xen.store import Store
from idm.xen.stream import Message

DIRECTORY = f"device/{nodes.EXEC}"
LIBRARY_PATH = "LD_LIBRARY_PATH"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
}


class ExecService:
    """Keeps one instance for each command, as xenstore names them."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        store: Store,
        image: ImageRoot,
        log: Callable[[str], None],
    ) -> None:
        self._selector = selector
        self._store = store
        self._image = image
        self._log = log
        self._instances: dict[str, Instance] = {}
        store.watch(DIRECTORY, nodes.EXEC)

    def look(self) -> None:
        """Follow changed nodes: new instances, and those that have vanished."""
        there = self._store.children(DIRECTORY)
        for name in set(self._instances) - set(there):
            self._instances.pop(name).close()
        for name in there:
            if name not in self._instances and len(self._instances) < nodes.EXECS_MAX:
                self._instances[name] = self._new(name)
        for instance in self._instances.values():
            instance.served.look()

    def move(self) -> None:
        """Carry messages."""
        for instance in self._instances.values():
            instance.served.move()

    def _new(self, name: str) -> Instance:
        directory = f"{DIRECTORY}/{name}"
        return Instance(self._selector, self._store, directory, self._image, self._log)


class Instance:
    """One channel, and the one command that runs over it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        store: Store,
        directory: str,
        image: ImageRoot,
        log: Callable[[str], None],
    ) -> None:
        self._selector = selector
        self._image = image
        self._log = log
        self._command: Command | None = None
        self._asked = False
        self._channel = FrontChannel(store, directory, self._log_end)
        self.served = Served(selector, self._channel, self._received, self._kill)

    def close(self) -> None:
        """The toolstack has withdrawn it."""
        self._kill()
        self.served.close()

    def _log_end(self, text: str) -> None:
        """An end is worth a line only while something runs."""
        if self._command is None or not self._command.reported:
            self._log(text)

    def _kill(self) -> None:
        """The toolstack does not wait for the command any more."""
        if self._command and not self._command.reported:
            self._command.kill()

    def _received(self, message: Message) -> None:
        if message.kind == said.START:
            self._start(Request.unpack(message.payload))
        elif self._command:
            self._command.received(message)
        elif not self._asked:
            raise ChannelError(f"message {message.kind} before a command")

    def _start(self, request: Request) -> None:
        if self._asked:
            raise ChannelError("a second command on one channel")
        self._asked = True
        try:
            root = request.root or self._image.assembled()
            environment = self._environment(request.environment, root)
            self._command = Command(self._selector, request, root, environment, self._send)
        except SpawnError as error:
            self._send(said.FAILED, 0, said.pack_failure(error.code, str(error)))
        except (ImageError, OSError) as error:
            self._log(f"no command: {error}")
            self._send(said.FAILED, 0, said.pack_failure(CANNOT, str(error)))
        else:
            self._send(said.STARTED, 0, b"")

    def _environment(self, given: Mapping[str, str], root: str) -> dict[str, str]:
        result = {**ENVIRONMENT, **given}
        path = self._image.library_path(root, result.get(LIBRARY_PATH, ""))
        return {**result, LIBRARY_PATH: path} if path else result

    def _send(self, kind: int, stream: int, payload: bytes) -> None:
        self._channel.send(kind, stream, payload)
