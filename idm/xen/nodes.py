# SPDX-License-Identifier: Apache-2.0
"""The xenstore nodes of a channel, in the manner of Xen's split drivers.

    /local/domain/FRONT/device/DEVICE/INDEX    made by the toolstack, then the front end's
        backend, backend-id                    by the toolstack
        version, generation, seen              by the front end: `generation` is its incarnation's
        ring-refs, event-channel               number, `seen` the back end's that it answers to
        state                                  1 made, 3 published, 4 connected, 6 closed
    /local/domain/BACK/backend/DEVICE/FRONT/INDEX  made by the toolstack, then the back end's
        frontend, frontend-id                  by the toolstack, and more that the device needs
        version, generation, seen, error       by the back end
        state                                  1 made, 2 ready for a front end, 4 connected,
                                               6 closed

A domain has one GPU device, of index 0, and an exec device for each command that the toolstack runs
in it (idm.xen.exec_messages).

Either side may die and begin again with a new generation; the other then lets go of all that
belonged to the old one. References of a dead front end stay in xenstore, and are told from a live
one's by that.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from enum import IntEnum
from functools import partial
from typing import NamedTuple

from idm.errors import ChannelError, StoreError
from idm.xen.store import Store

GPU, EXEC = "vgpu", "vgpu-exec"
EXECS_MAX = 64  # commands of the toolstack in one domain at once
PORT_MAX = REF_MAX = 1 << 32


class State(IntEnum):
    """XenbusState; only those that a channel uses."""

    MADE = 1
    READY = 2
    PUBLISHED = 3
    CONNECTED = 4
    CLOSING = 5
    CLOSED = 6


class Published(NamedTuple):
    """What a front end has written: not to be trusted in any way."""

    version: int
    generation: str
    seen: str
    refs: tuple[int, ...]
    port: int


def front_path(front: int, device: str, index: int = 0) -> str:
    """Return the front end's directory."""
    return f"{domain_path(front)}/device/{device}/{index}"


def back_path(back: int, device: str, front: int, index: int = 0) -> str:
    """Return the back end's directory."""
    return f"{domain_path(back)}/backend/{device}/{front}/{index}"


def domain_path(domain: int) -> str:
    """Return a domain's directory."""
    return f"/local/domain/{domain}"


def is_there(store: Store, domain: int) -> bool:
    """Return whether the toolstack has made a domain's directory, and not yet removed it."""
    return store.read(f"{domain_path(domain)}/domid") is not None


def announce(
    store: Store,
    device: str,
    front: int,
    back: int,
    more: Mapping[str, str | int] | None = None,
    index: int = 0,
) -> bool:
    """Make both directories, as the toolstack does for a device. Needs its rights in xenstore.

    False: they are there already. Raises StoreError, also when the front end's domain is gone.
    """
    return store.transact(lambda: _announce(store, device, front, back, more or {}, index))


def _announce(
    store: Store, device: str, front: int, back: int, more: Mapping[str, str | int], index: int
) -> bool:
    ours, theirs = front_path(front, device, index), back_path(back, device, front, index)
    if not is_there(store, front):
        raise StoreError(errno.ENOENT, f"domain {front} is gone")
    if store.read(f"{ours}/backend") is not None:
        return False
    for path, owner, reader in ((ours, front, back), (theirs, back, front)):
        store.mkdir(path)
        store.set_permissions(path, [f"n{owner}", f"r{reader}"])
    made = int(State.MADE)
    below: dict[str, str | int] = {"frontend": ours, "frontend-id": front, **more}
    _write_all(store, theirs, {**below, "state": made}, back, front)
    _write_all(store, ours, {"backend-id": back, "state": made, "backend": theirs}, front, back)
    return True


def _write_all(
    store: Store, directory: str, values: Mapping[str, str | int], owner: int, reader: int
) -> None:
    for name, value in values.items():
        store.write(f"{directory}/{name}", value)
        store.set_permissions(f"{directory}/{name}", [f"n{owner}", f"r{reader}"])


def withdraw(store: Store, device: str, front: int, back: int, index: int = 0) -> None:
    """Remove both directories, and what is empty then. Needs the toolstack's rights."""
    for path in (front_path(front, device, index), back_path(back, device, front, index)):
        store.transact(partial(_remove_upwards, store, path))


def _remove_upwards(store: Store, path: str) -> None:
    """Remove a device's directory, and what is above it in the domain's own when that is empty.

    The front end's `device` is the toolstack's and stays.
    """
    store.remove(path)
    above = path.rpartition("/")[0]
    while above.count("/") > 3 and not above.endswith("/device") and not store.children(above):
        store.remove(above)
        above = above.rpartition("/")[0]


def withdraw_back(store: Store, device: str, front: int, back: int) -> None:
    """Remove the back end's directory of a domain that is gone, and what is empty then.

    In a driver domain what is above is the toolstack's, and stays.
    """
    path = back_path(back, device, front)
    try:
        store.transact(partial(_remove_upwards, store, path))
    except StoreError as error:
        if error.errno != errno.EACCES:
            raise
        store.remove(path)


def state_of(store: Store, directory: str) -> State | None:
    """Return the state that a directory names, or None."""
    text = store.read(f"{directory}/state") or ""
    return State(int(text)) if text.isdecimal() and text in "123456" and len(text) == 1 else None


def read_published(store: Store, directory: str, pages: int) -> Published:
    """Read what a front end has written. Raises ChannelError when it cannot be a channel's."""
    refs = _numbers(store.read(f"{directory}/ring-refs"), "ring-refs")
    (port,) = _numbers(store.read(f"{directory}/event-channel"), "event-channel") or (0,)
    (version,) = _numbers(store.read(f"{directory}/version"), "version") or (0,)
    generation = store.read(f"{directory}/generation") or ""
    if len(refs) != pages or not 0 < port < PORT_MAX or not generation or len(generation) > 64:
        raise ChannelError(f"{len(refs)} references and port {port} are no channel")
    return Published(version, generation, store.read(f"{directory}/seen") or "", refs, port)


def _numbers(text: str | None, name: str) -> tuple[int, ...]:
    words = (text or "").split()
    if not all(word.isascii() and word.isdecimal() and len(word) <= 10 for word in words):
        raise ChannelError(f"{name} holds something that is no number")
    return tuple(int(word) for word in words)


def new_generation() -> str:
    """Return a number that no other incarnation has."""
    return os.urandom(8).hex()
