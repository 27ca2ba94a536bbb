# SPDX-License-Identifier: Apache-2.0
"""The record format in Python: decodes requests and encodes results by their row.

The C codec (idm/csrc/codec.c) does the same from descriptors; a property test compares the two for
every row of the table.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from idm.api.table import RESULTS, Call, Mode
from idm.api.types import Param, Wire

_DATA = frozenset(
    {Wire.STRUCT_IN, Wire.ARRAY_IN, Wire.BYTES_IN, Wire.STRING_IN, Wire.STRUCT_BY_VALUE, Wire.INOUT}
)
HEADER = struct.Struct("=IHHIIQIHH")  # struct idm_record


@dataclass
class Request:
    """The record of one call. Parameter values are in `values`, by name.

    Scalars, handles, device pointers and addresses are numbers; data going in is bytes; for results
    the value is the number of bytes that the front end takes (0: not wanted).
    """

    row: Call
    slot: int
    sequence: int
    thread: int
    context: int
    reply: int
    flags: int
    values: dict[str, Any]
    capacity: dict[str, int] = field(default_factory=dict)

    @property
    def posted(self) -> bool:
        """Nobody waits for an answer."""
        return self.row.mode is Mode.POSTED

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def decode(row: Call, record: bytes) -> Request:
    """Decode a record whose lengths and offsets have been checked against its row."""
    _, _, slot, sequence, thread, context, reply, flags, _ = HEADER.unpack_from(record)
    words = struct.unpack_from(f"={len(row.params)}Q", record, HEADER.size)
    request = Request(row, slot, sequence, thread, context, reply, flags, {})
    for param, word in zip(row.params, words, strict=True):
        if param.wire in _DATA:
            offset, length = word >> 32, word & 0xFFFFFFFF
            request.values[param.name] = record[offset : offset + length]
            if param.wire is Wire.INOUT:
                request.capacity[param.name] = length
        elif param.wire in RESULTS:
            request.values[param.name] = word
            request.capacity[param.name] = word & 0xFFFFFFFF
        else:
            request.values[param.name] = _scalar(param, word)
    return request


def _scalar(param: Param, word: int) -> int:
    if param.type.signed:
        return word - (1 << 64) if word >> 63 else word
    return word


def encode_results(request: Request, results: dict[str, bytes]) -> bytes:
    """Results in the order of the row, each padded to eight bytes and cut to what was asked for."""
    parts = []
    for param in request.row.params:
        wanted = request.capacity.get(param.name, 0)
        if param.wire in RESULTS and wanted:
            data = results.get(param.name, b"")[:wanted]
            parts.append(data.ljust((wanted + 7) & ~7, b"\0"))
    return b"".join(parts)
