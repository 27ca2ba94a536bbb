# SPDX-License-Identifier: Apache-2.0
"""The request ring: order, wrapping, and a producer that lies."""

import mmap
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idm._ring import ffi, lib

HEADER = 32


class Ring:
    """A region with a producer and a consumer on it."""

    def __init__(self):
        self.memory = mmap.mmap(-1, lib.IDM_REGION_BYTES)
        self.base = ffi.from_buffer(self.memory)
        self.producer = ffi.new("struct idm_producer *")
        self.consumer = ffi.new("struct idm_consumer *")
        self.record = ffi.new("uint8_t[]", lib.IDM_RECORD_MAX)
        lib.idm_producer_init(self.producer, self.base)
        lib.idm_consumer_init(self.consumer, self.base)

    def put(self, number, size):
        error = ffi.new("int *")
        record = lib.idm_reserve(self.producer, size, error)
        assert error[0] == 0
        if record == ffi.NULL:
            return False
        record.bytes, record.call, record.slot, record.sequence = size, 1, lib.IDM_NO_SLOT, number
        ffi.memmove(
            ffi.cast("uint8_t *", record) + HEADER,
            bytes([number % 251]) * (size - HEADER),
            size - HEADER,
        )
        lib.idm_publish(self.producer, size)
        return True

    def take(self):
        record = ffi.cast("struct idm_record *", self.record)
        got = lib.idm_take(self.consumer, record)
        return (got, record.sequence, bytes(ffi.buffer(self.record, got))) if got > 0 else got

    def write(self, offset, data):
        self.memory[offset : offset + len(data)] = data


@settings(deadline=None)
@given(
    st.lists(st.integers(HEADER // 8, lib.IDM_RECORD_MAX // 8), min_size=1, max_size=200),
    st.integers(1, 40),
)
def test_records_arrive_in_order_and_whole(sizes, batch):
    ring, sent, received = Ring(), 0, 0
    while received < len(sizes):
        while sent < len(sizes) and sent - received < batch and ring.put(sent, sizes[sent] * 8):
            sent += 1
        length, sequence, data = ring.take()
        assert (length, sequence) == (sizes[received] * 8, received)
        assert set(data[HEADER:]) <= {received % 251}
        received += 1
    assert ring.take() == 0


def test_a_full_ring_says_so_and_recovers():
    ring, count = Ring(), 0
    while ring.put(count, lib.IDM_RECORD_MAX):
        count += 1
    assert count == lib.IDM_RING_BYTES // lib.IDM_RECORD_MAX
    assert ring.take()[1] == 0
    assert ring.put(count, lib.IDM_RECORD_MAX)


PRODUCED = lib.IDM_FRONT_AT
RING = lib.IDM_RING_AT


@pytest.mark.parametrize(
    ("produced", "size", "call"),
    [
        (lib.IDM_RING_BYTES + 8, 64, 1),  # more than the ring holds
        (2**64 - 8, 64, 1),  # behind the consumer
        (63, 63, 1),  # not a multiple of eight
        (64, 72, 1),  # longer than what was produced
        (64, 24, 1),  # shorter than a header
        (64, 0, 1),  # empty: would never end
        (128, 63, 1),
        (lib.IDM_RING_BYTES, lib.IDM_RECORD_MAX + 8, 1),
        (lib.IDM_RING_BYTES, lib.IDM_RING_BYTES + 64, 1),
        (64, 64, lib.IDM_CALL_PAD),  # filler that does not reach the end
    ],
)
def test_what_cannot_be_a_record_is_a_protocol_error(produced, size, call):
    ring = Ring()
    ring.write(RING, struct.pack("=IHH", size, call, 0))
    ring.write(PRODUCED, struct.pack("=Q", produced))
    assert ring.take() == -71


@settings(deadline=None, max_examples=300)
@given(st.binary(min_size=64, max_size=4096), st.integers(0, 2**64 - 1))
def test_garbage_never_reads_outside_the_ring(data, produced):
    ring = Ring()
    ring.write(RING, data)
    ring.write(PRODUCED, struct.pack("=Q", produced))
    for _ in range(200):
        got = ring.take()
        if got in (0, -71):
            break
        assert HEADER <= got[0] <= lib.IDM_RECORD_MAX


def test_a_sleeping_consumer_is_reported_to_the_producer():
    ring = Ring()
    error = ffi.new("int *")
    lib.idm_prepare_to_wait(ring.consumer)
    record = lib.idm_reserve(ring.producer, 64, error)
    record.bytes, record.call = 64, 1
    assert lib.idm_publish(ring.producer, 64) == 1
    lib.idm_end_wait(ring.consumer)
    lib.idm_reserve(ring.producer, 64, error).bytes = 64
    assert lib.idm_publish(ring.producer, 64) == 0


def test_completion_reports_a_parked_owner():
    ring = Ring()
    slot = 3
    assert lib.idm_complete(ring.base, slot, 7, 700, 16) == 0
    at = lib.IDM_SLOTS_AT + slot * lib.IDM_SLOT_BYTES
    assert struct.unpack_from("=IiI", ring.memory, at) == (7, 700, 16)
    parked_at = lib.IDM_FRONT_AT + 64 + 4 * slot
    ring.write(parked_at, struct.pack("=I", 1))
    assert lib.idm_complete(ring.base, slot, 8, 0, 0) == 1
