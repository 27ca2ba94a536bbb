# SPDX-License-Identifier: Apache-2.0
"""Every row that crosses: packed and checked in C, unpacked in Python, answered, unpacked in C."""

import ctypes
import random
import struct

import pytest
from idm._ring import ffi, lib

from idm.api.table import Mode, load
from idm.api.types import Wire
from idm.codec import decode, encode_results

ROWS = [
    row
    for row in load().calls
    if row.mode in (Mode.SYNC, Mode.POSTED)
    and not row.elsewhere
    and not any(p.wire is Wire.LOCAL for p in row.params)
]
POINTERS = {
    Wire.STRUCT_IN, Wire.ARRAY_IN, Wire.BYTES_IN, Wire.STRING_IN, Wire.OUT, Wire.OUT_HANDLE,
    Wire.ARRAY_OUT, Wire.BYTES_OUT, Wire.INOUT, Wire.CREATES,
}  # fmt: skip


class Call:
    """Arguments of one call as an application would pass them, from a seeded generator."""

    def __init__(self, row, seed):
        self.row, self.rng = row, random.Random(f"{row.symbol}-{seed}")
        self.descriptor = lib.idm_call_by_number(row.number)
        self.counts = {
            p.count: self.rng.randrange(0, 5)
            for p in row.params
            if p.count and p.wire is not Wire.DEVICE_PTR
        }
        self.data = {p.name: self._data(p) for p in row.params}
        self.keep, cells = [], []
        for param in row.params:
            data = self.data[param.name]
            if param.wire in POINTERS:
                buffer = ffi.new("uint8_t[]", data + b"\0" * 8)
                self.keep.append(buffer)
                cell = ffi.new("uint64_t *", int(ffi.cast("uintptr_t", buffer)))
            else:
                cell = ffi.new("uint8_t[]", data.ljust(8, b"\0"))
            self.keep.append(cell)
            cells.append(ffi.cast("void *", cell))
        self.args = ffi.new("void *[]", cells or [ffi.NULL])
        self.handles = ffi.new("uint64_t[]", [0xABC0 + i for i in range(8)])

    def _data(self, param):
        if param.name in self.counts:
            return self.counts[param.name].to_bytes(param.type.size, "little")
        if param.wire is Wire.STRING_IN:
            return b"name%d\0" % self.rng.randrange(1000)
        length = param.type.size
        if param.wire in (Wire.ARRAY_IN, Wire.ARRAY_OUT, Wire.BYTES_IN, Wire.BYTES_OUT):
            length = self.counts[param.count] * param.scale
        return self.rng.randbytes(length)

    def record(self):
        size = lib.idm_request_bytes(self.descriptor, self.args)
        assert size > 0
        buffer = ffi.new("uint8_t[]", size)
        record = ffi.cast("struct idm_record *", buffer)
        lib.idm_pack_request(self.descriptor, self.args, self.handles, record)
        record.bytes, record.call, record.thread = size, self.row.number, 1
        record.slot = lib.IDM_NO_SLOT if self.row.mode is Mode.POSTED else 5
        return buffer, record


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.symbol)
def test_c_and_python_agree_on_every_row(row):
    for seed in range(5):
        call = Call(row, seed)
        buffer, record = call.record()
        assert lib.idm_check_request(call.descriptor, record) == 0
        request = decode(row, bytes(ffi.buffer(buffer)))
        created = iter(call.handles)
        for param in row.params:
            data, value = call.data[param.name], request[param.name]
            if param.wire is Wire.CREATES:
                assert value == next(created)
            elif param.wire in (Wire.OUT, Wire.OUT_HANDLE, Wire.ARRAY_OUT, Wire.BYTES_OUT):
                assert request.capacity[param.name] == len(data)
            elif isinstance(value, bytes):
                assert value == data
            else:
                expected = int.from_bytes(data, "little", signed=param.type.signed)
                assert value == expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.symbol)
def test_results_come_back_whole(row):
    call = Call(row, 9)
    buffer, _ = call.record()
    request = decode(row, bytes(ffi.buffer(buffer)))
    results = {name: call.rng.randbytes(size) for name, size in request.capacity.items()}
    # A count that is also a result must stay what it was, or lengths on the two sides differ.
    for name in call.counts:
        if name in results:
            results[name] = call.data[name]
    data = encode_results(request, results)
    assert len(data) == lib.idm_results_bytes(call.descriptor, call.args)
    assert lib.idm_unpack_results(call.descriptor, call.args, data, len(data)) == 0
    for index, param in enumerate(row.params):
        if request.capacity.get(param.name):
            pointer = ffi.cast("uint64_t *", call.args[index])[0]
            assert ctypes.string_at(pointer, len(results[param.name])) == results[param.name]
    if data:
        assert lib.idm_unpack_results(call.descriptor, call.args, data, len(data) - 8) == -71


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.symbol)
def test_a_damaged_record_is_refused_or_harmless(row):
    """Any word of a record may be anything: the check either refuses it or Python can decode it."""
    call = Call(row, 3)
    buffer, record = call.record()
    original = bytes(ffi.buffer(buffer))
    rng = random.Random(row.symbol)
    for _ in range(60):
        damaged = bytearray(original)
        at = rng.randrange(4, len(damaged) // 4) * 4
        damaged[at : at + 4] = rng.choice(
            [rng.randbytes(4), b"\xff" * 4, struct.pack("=I", len(damaged))]
        )
        ffi.memmove(buffer, bytes(damaged), len(damaged))
        record.bytes = len(damaged)
        if lib.idm_check_request(call.descriptor, record) == 0:
            request = decode(row, bytes(ffi.buffer(buffer)))
            assert sum(request.capacity.values()) <= lib.IDM_CHUNK_BYTES + 64


def test_rows_that_never_cross_are_refused():
    for row in load().calls:
        if row.elsewhere or row.mode in (Mode.LOCAL, Mode.REFUSED):
            record = ffi.new("uint8_t[]", 4096)
            header = ffi.cast("struct idm_record *", record)
            header.bytes, header.slot = 4096, 1
            assert lib.idm_check_request(lib.idm_call_by_number(row.number), header) == -71
