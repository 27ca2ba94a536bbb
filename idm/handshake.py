# SPDX-License-Identifier: Apache-2.0
"""The handshake's messages as idm.h lays them out; a test compares each number with that header."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from idm.errors import Refused

MAGIC = 0x56475055
VERSION = 1
FEATURES = 0  # feature bits that this back end offers
SOCKET_NAME = "proxy.sock"

PAGE = 4096
RING_BYTES = 1 << 20
SLOTS = 256
SLOT_BYTES = 4096
DOORBELLS = 64
CHUNK_BYTES = 512 << 10
CHUNKS = 32
GAUGES = 4096
SLOTS_AT = 4 * PAGE + 4 * GAUGES
REGION_BYTES = SLOTS_AT + SLOTS * SLOT_BYTES + RING_BYTES + CHUNKS * CHUNK_BYTES
HANDLE_MAX = 1 << 20

MSG_HELLO, MSG_WELCOME, MSG_REFUSED, MSG_MEMORY = 1, 2, 3, 4
REFUSED_VERSION, REFUSED_WINDOW, REFUSED_SESSIONS, REFUSED_INTERNAL, REFUSED_MALFORMED = range(1, 6)

HEADER = struct.Struct("<IIQIIIIII")
HELLO = struct.Struct("<IIIIQQQ192s")
WELCOME = struct.Struct("<IIIIQQQ64s65I4x")
REFUSED = struct.Struct("<II192s")
MEMORY = struct.Struct("<IIQQ")
TEXT_BYTES = 192

ADDRESS_MIN = 1 << 16  # below lies what vm.mmap_min_addr protects
ADDRESS_MAX = 1 << 47


@dataclass(frozen=True)
class Hello:
    """A checked hello."""

    features: int
    window_base: int
    window_bytes: int
    program: str


def parse_hello(message: bytes) -> Hello:
    """Check a hello of unknown origin. Raises Refused."""
    if len(message) != HELLO.size:
        raise Refused(REFUSED_MALFORMED, f"hello has {len(message)} bytes, not {HELLO.size}")
    kind, magic, lowest, highest, features, base, size, program = HELLO.unpack(message)
    if kind != MSG_HELLO or magic != MAGIC:
        raise Refused(REFUSED_MALFORMED, "the first message is not a hello")
    if not lowest <= VERSION <= highest:
        raise Refused(
            REFUSED_VERSION,
            f"this gpu-proxy speaks version {VERSION}, the application {lowest} to {highest}",
        )
    _check_window(base, size)
    return Hello(features & FEATURES, base, size, text_of(program))


def _check_window(base: int, size: int) -> None:
    if base == 0 and size == 0:
        return
    aligned = base % PAGE == 0 and size % PAGE == 0 and size > 0
    if not aligned or base < ADDRESS_MIN or base + size > ADDRESS_MAX:
        raise Refused(REFUSED_MALFORMED, f"impossible pinned window at {base:#x}, {size:#x} bytes")


def text_of(field: bytes) -> str:
    """Return a fixed text field up to its first zero, with anything unprintable replaced."""
    text = field.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def _field(text: str, size: int) -> bytes:
    """Text for a fixed field: cut between characters, always with a zero at the end."""
    return text.encode()[: size - 1].decode("utf-8", "ignore").encode()


def welcome(
    features: int, session: int, snapshot_bytes: int, zone: str, ports: Sequence[int]
) -> bytes:
    """Return a welcome; its descriptors travel beside it.

    `ports` are the event channels of the request doorbell and of each slot's; 0 for an eventfd.
    """
    padded = [*ports, *[0] * (1 + DOORBELLS - len(ports))]
    return WELCOME.pack(
        MSG_WELCOME,
        MAGIC,
        VERSION,
        len(ports) - 1,
        features,
        session,
        snapshot_bytes,
        _field(zone, 64),
        *padded,
    )


def refused(reason: int, text: str) -> bytes:
    """Return the message that says why there is no session."""
    return REFUSED.pack(MSG_REFUSED, reason, _field(text, TEXT_BYTES))


def memory(token: int, size: int) -> bytes:
    """Return the message that brings pinned memory; its descriptor travels beside it."""
    return MEMORY.pack(MSG_MEMORY, 0, token, size)


def header(features: int) -> bytes:
    """Return the first bytes of a region."""
    return HEADER.pack(
        MAGIC, VERSION, features, REGION_BYTES, RING_BYTES, SLOTS, DOORBELLS, CHUNK_BYTES, CHUNKS
    )
