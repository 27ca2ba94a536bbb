# SPDX-License-Identifier: Apache-2.0
"""A xenstored without Xen: `python fake_xenstored.py FOLDER DOMAIN...`, one socket a domain.

Speaks the wire protocol, with owners and readers of nodes, watches and transactions. A domain is
introduced while /local/domain/N is there. Removing that fires @releaseDomain.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

HEADER = struct.Struct("=IIII")
DIRECTORY, READ, WATCH, UNWATCH, START, END = 1, 2, 4, 5, 6, 7
WRITE, MKDIR, RM, SET_PERMS, EVENT, ERROR, INTRODUCED = 11, 12, 13, 14, 15, 16, 17
RELEASED = "@releaseDomain"


class Refused(Exception):
    """The request fails; the text is errno's name."""


@dataclass
class Node:
    value: bytes = b""
    permissions: tuple[str, ...] = ("n0",)


@dataclass
class Connection:
    socket: socket.socket
    domain: int
    watches: list[tuple[str, str]] = field(default_factory=list)
    transaction: int = 0
    tree: dict[str, Node] = field(default_factory=dict)  # as the transaction sees it
    began: int = 0
    changed: list[str] = field(default_factory=list)
    unsent: bytearray = field(
        default_factory=bytearray
    )  # nobody may stop the others by not reading


class Xenstored:
    def __init__(self, domains: list[int]) -> None:
        self.tree = {"/": Node(), "/local": Node(), "/local/domain": Node()}
        for domain in domains:
            base = f"/local/domain/{domain}"
            own = ("n0",) if domain == 0 else ("n0", f"r{domain}")
            self.tree[base] = Node(permissions=own)
            self.tree[f"{base}/domid"] = Node(str(domain).encode(), own)
            self.tree[f"{base}/name"] = Node(f"domain-{domain}".encode(), own)
            self.tree[f"{base}/device"] = Node(permissions=own)
            self.tree[f"{base}/backend"] = Node(permissions=own)
        self.changes = self.transactions = 0
        self.connections: list[Connection] = []

    def answer(self, one: Connection, kind: int, number: int, tx: int, body: bytes) -> None:
        try:
            answer = self.request(one, kind, tx, body)
        except Refused as error:
            kind, answer = ERROR, str(error).encode() + b"\0"
        self.send(one, kind, number, answer)
        if kind == WATCH:
            path, token = body.rstrip(b"\0").decode().split("\0")
            self.send(one, EVENT, 0, f"{path}\0{token}\0".encode())

    def send(self, one: Connection, kind: int, number: int, body: bytes) -> None:
        one.unsent += HEADER.pack(kind, number, 0, len(body)) + body
        self.flush(one)

    def flush(self, one: Connection) -> None:
        try:
            del one.unsent[: one.socket.send(one.unsent, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            return
        except OSError:
            one.unsent.clear()  # it has closed

    def request(self, one: Connection, kind: int, tx: int, body: bytes) -> bytes:
        if tx != one.transaction:
            raise Refused("ENOENT")
        if kind == START:
            return self.start(one)
        if kind == END:
            return self.end(one, commit=body == b"T\0")
        if kind in (WATCH, UNWATCH):
            return self.watch(one, kind, *body.rstrip(b"\0").decode().split("\0"))
        words = body.split(b"\0", 1)
        path = self.absolute(one, words[0].decode())
        if kind == INTRODUCED:
            return b"T\0" if f"/local/domain/{int(words[0])}" in self.tree else b"F\0"
        return self.node_request(one, kind, path, words[1])

    def node_request(self, one: Connection, kind: int, path: str, rest: bytes) -> bytes:
        tree = one.tree if one.transaction else self.tree
        if kind == READ:
            return self.allowed(tree, one, path, "r").value
        if kind == DIRECTORY:
            self.allowed(tree, one, path, "r")
            names = (p.rpartition("/") for p in tree if p != "/")
            return b"".join(n.encode() + b"\0" for above, _, n in names if above == path)
        if kind in (WRITE, MKDIR):
            self.make(tree, one, path)
            if kind == WRITE:
                tree[path].value = rest
        elif kind == RM:
            self.allowed(tree, one, path, "w")
            for below in [p for p in tree if p == path or p.startswith(path + "/")]:
                del tree[below]
        elif kind == SET_PERMS:
            if self.owner(self.allowed(tree, one, path, "r")) != one.domain and one.domain:
                raise Refused("EACCES")
            tree[path].permissions = tuple(rest.rstrip(b"\0").decode().split("\0"))
        else:
            raise Refused("EINVAL")
        self.note(one, path)
        return b"OK\0"

    def make(self, tree: dict[str, Node], one: Connection, path: str) -> None:
        if path in tree:
            self.allowed(tree, one, path, "w")
            return
        above = path.rpartition("/")[0] or "/"
        if above not in tree:
            self.make(tree, one, above)
        parent = self.allowed(tree, one, above, "w")
        own = (f"n{one.domain}", *parent.permissions[1:]) if one.domain else parent.permissions
        tree[path] = Node(permissions=own)

    def allowed(self, tree: dict[str, Node], one: Connection, path: str, wanted: str) -> Node:
        node = tree.get(path)
        if node is None:
            raise Refused("ENOENT")
        others, *more = node.permissions
        letters = {int(text[1:]): text[0] for text in more}.get(one.domain, others[0])
        if one.domain not in (0, self.owner(node)) and letters not in (wanted, "b"):
            raise Refused("EACCES")
        return node

    def owner(self, node: Node) -> int:
        return int(node.permissions[0][1:])

    def start(self, one: Connection) -> bytes:
        self.transactions += 1
        one.transaction, one.began, one.changed = self.transactions, self.changes, []
        one.tree = {p: Node(n.value, n.permissions) for p, n in self.tree.items()}
        return f"{one.transaction}\0".encode()

    def end(self, one: Connection, *, commit: bool) -> bytes:
        one.transaction = 0
        if not commit or not one.changed:
            return b"OK\0"
        if self.changes != one.began:
            raise Refused("EAGAIN")
        self.tree = one.tree
        for path in one.changed:
            self.note(one, path)
        return b"OK\0"

    def watch(self, one: Connection, kind: int, path: str, token: str) -> bytes:
        if kind == WATCH:
            one.watches.append((path, token))
        elif (path, token) in one.watches:
            one.watches.remove((path, token))
        else:
            raise Refused("ENOENT")
        return b"OK\0"

    def note(self, one: Connection, path: str) -> None:
        """Tell everyone who watches this path, something above it, or something removed below it."""
        if one.transaction:
            one.changed.append(path)
            return
        self.changes += 1
        for other in self.connections:
            for watched, token in other.watches:
                place = self.absolute(other, watched)
                gone = path not in self.tree and place.startswith(path + "/")
                if place == path or path.startswith(place + "/") or gone:
                    said = watched if gone else path.removeprefix(self.absolute(other, ""))
                    self.send(other, EVENT, 0, f"{said}\0{token}\0".encode())
        if path.startswith("/local/domain/") and path.count("/") == 3 and path not in self.tree:
            for other in self.connections:
                for watched, token in other.watches:
                    if watched == RELEASED:
                        self.send(other, EVENT, 0, f"{RELEASED}\0{token}\0".encode())

    def absolute(self, one: Connection, path: str) -> str:
        return path if path[:1] in ("/", "@") else f"/local/domain/{one.domain}/{path}"


def serve(folder: Path, domains: list[int]) -> None:
    store, selector = Xenstored(domains), selectors.DefaultSelector()
    for domain in domains:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / f"{domain}.new"))
        listener.listen()
        selector.register(listener, selectors.EVENT_READ, domain)
        (folder / f"{domain}.new").rename(folder / f"{domain}.socket")
    while True:
        for one in store.connections:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if one.unsent else 0)
            selector.modify(one.socket, events, one)
        for key, _ in selector.select():
            if isinstance(key.data, int):
                one = Connection(key.fileobj.accept()[0], key.data)
                store.connections.append(one)
                selector.register(one.socket, selectors.EVENT_READ, one)
            elif key.data.unsent:
                store.flush(key.data)
            else:
                serve_one(store, selector, key.data)


def serve_one(store: Xenstored, selector: selectors.BaseSelector, one: Connection) -> None:
    try:
        head = one.socket.recv(HEADER.size, socket.MSG_WAITALL)
    except ConnectionResetError:  # it has closed without taking all events
        head = b""
    if not head:
        store.connections.remove(one)
        selector.unregister(one.socket)
        one.socket.close()
        return
    kind, number, transaction, length = HEADER.unpack(head)
    body = one.socket.recv(length, socket.MSG_WAITALL) if length else b""
    store.answer(one, kind, number, transaction, body)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
