# SPDX-License-Identifier: Apache-2.0
"""A front end that obeys nobody: it writes any record, with any handle, into its own ring."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

from front_end import FrontEnd

from idm import handshake
from idm.api.table import RESULTS, Mode, load
from idm.api.types import Kind, Param, Wire

PAGE = 4096
FRONT_AT, BACK_AT, SLOTS_AT = PAGE, 2 * PAGE, handshake.SLOTS_AT
SLOT_BYTES = 4096
RING_AT, RING_BYTES = SLOTS_AT + 256 * SLOT_BYTES, 1 << 20
WINDOW_BASE, WINDOW_BYTES = 0x2F0000000000, 1 << 40
HEADER = struct.Struct("=IHHIIQIHH")
NO_SLOT = 0xFFFF
DATA = (Wire.STRUCT_IN, Wire.ARRAY_IN, Wire.BYTES_IN, Wire.STRING_IN, Wire.INOUT)
SECONDS = 20.0


def handle(kind: Kind, index: int, generation: int = 1) -> int:
    """A handle that a front end may choose."""
    return int(kind) << 56 | generation << 32 | index


class SessionEnded(Exception):
    """The back end hung up."""


class Raw(FrontEnd):
    """One session without libvgpu. Answers are waited for by looking."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, base=WINDOW_BASE, size=WINDOW_BYTES)
        self.produced = 0
        self.sequences = [0] * 256
        self.context = 0

    def publish(self, record: bytes) -> None:
        """Append a record, with a filler where it would wrap."""
        at = self.produced % RING_BYTES
        if at + len(record) > RING_BYTES:
            rest = RING_BYTES - at
            filler = struct.pack("=IHH", rest, 0xFFFF, NO_SLOT)
            self.region[RING_AT + at : RING_AT + at + 8] = filler
            self.produced += rest
            at = 0
        self._wait_for_room(len(record))
        self.region[RING_AT + at : RING_AT + at + len(record)] = record
        self.produced += len(record)
        self.region[FRONT_AT : FRONT_AT + 8] = struct.pack("=Q", self.produced)
        self.ring()

    def _wait_for_room(self, size: int) -> None:
        deadline = time.monotonic() + SECONDS
        while self.produced + size - self.consumed() > RING_BYTES:
            self._check(deadline)

    def consumed(self) -> int:
        """How far the worker is."""
        return int(struct.unpack_from("=Q", self.region, BACK_AT)[0])

    def pack(
        self, symbol: str, *, slot: int = 0, reply: int = 0, gauge: int = 0, **values: Any
    ) -> bytes:
        """One record: data as bytes, numbers as they are; results default to what they need."""
        row = load().by_symbol[symbol]
        posted = row.mode is Mode.POSTED
        if not posted:
            self.sequences[slot] += 1
        first = HEADER.size + 8 * len(row.params)
        words, data = [], b""
        for param in row.params:
            value = values.pop(param.name, _default(param))
            if param.wire in DATA and isinstance(value, bytes):
                words.append((first + len(data)) << 32 | len(value) if value else 0)
                data += value.ljust((len(value) + 7) & ~7, b"\0")
            else:
                words.append(value & (2**64 - 1))
        assert not values, values
        head = HEADER.pack(
            first + len(data),
            row.number,
            NO_SLOT if posted else slot,
            0 if posted else self.sequences[slot],
            1,
            self.context,
            reply,
            0,
            gauge,
        )
        return head + struct.pack(f"={len(words)}Q", *words) + data

    def send(self, symbol: str, **values: Any) -> None:
        """Publish and do not wait."""
        self.publish(self.pack(symbol, **values))

    def call(self, symbol: str, *, slot: int = 0, **values: Any) -> tuple[int, bytes]:
        """Publish and wait: the CUresult, and the bytes of the answer."""
        self.send(symbol, slot=slot, **values)
        return self.answer(slot)

    def answer(self, slot: int) -> tuple[int, bytes]:
        """The answer to the last call in a slot."""
        at, deadline = SLOTS_AT + slot * SLOT_BYTES, time.monotonic() + SECONDS
        while True:
            done, status, size = struct.unpack_from("=IiI", self.region, at)
            if done == self.sequences[slot]:
                return status, bytes(self.region[at + 64 : at + 64 + min(size, SLOT_BYTES - 64)])
            self._check(deadline)

    def _check(self, deadline: float) -> None:
        time.sleep(0.0005)
        self.socket.setblocking(False)
        try:
            if not self.socket.recv(4096):
                raise SessionEnded
        except BlockingIOError:
            pass
        except ConnectionError:
            raise SessionEnded from None
        finally:
            self.socket.settimeout(SECONDS)
        if time.monotonic() > deadline:
            raise TimeoutError("no answer")

    def start(self) -> None:
        """The primary context of device 0."""
        self.context = handle(Kind.CONTEXT, 1)
        assert self.call("vgpuPrimaryRetain", device=0, context=self.context)[0] == 0

    def alive(self) -> bool:
        """Whether the worker still executes records."""
        try:
            return self.call("vgpuFlush")[0] == 0
        except SessionEnded:
            return False

    def alloc(self, size: int) -> int:
        """Device memory; its address, or 0."""
        status, data = self.call("cuMemAlloc_v2", bytes=size)
        return int(struct.unpack("=Q", data)[0]) if status == 0 else 0


def _default(param: Param) -> Any:
    if param.wire in RESULTS and param.wire not in (Wire.ARRAY_OUT, Wire.BYTES_OUT, Wire.INOUT):
        return param.type.size
    return b"" if param.wire in DATA else 0
