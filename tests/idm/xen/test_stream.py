# SPDX-License-Identifier: Apache-2.0
"""Both ends of a channel's rings, over pages of one process: what a hostile peer can write there."""

from __future__ import annotations

import mmap
import random
import struct

import pytest

from idm.errors import ChannelError
from idm.xen import stream
from idm.xen.stream import Message, Rings, Stream


class Pair:
    """A front end and a back end on the same pages."""

    def __init__(self) -> None:
        self.pages = mmap.mmap(-1, stream.CHANNEL_PAGES * 4096)
        self.front = Stream(Rings(self.pages, is_front=True))
        self.back = Stream(Rings(self.pages, is_front=False))

    def word(self, page: int, index: int, value: int) -> None:
        struct.pack_into("=I", self.pages, page + 4 * index, value)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_messages_arrive_in_order(pair: Pair) -> None:
    pair.front.send(1, 7, b"hello")
    pair.front.send(2, 8)
    assert pair.front.transfer() == ([], True)
    assert pair.back.transfer() == ([Message(1, 7, b"hello"), Message(2, 8, b"")], True)
    assert pair.back.transfer() == ([], False)


def test_nobody_is_woken_for_nothing(pair: Pair) -> None:
    assert pair.front.transfer() == ([], False)


@pytest.mark.parametrize("seed", range(5))
def test_any_sizes_both_ways(pair: Pair, seed: int) -> None:
    """Messages longer than the rings go in pieces; both directions wrap many times."""
    chance = random.Random(seed)
    sides = {"front": pair.front, "back": pair.back}
    sent: dict[str, list[Message]] = {name: [] for name in sides}
    got: dict[str, list[Message]] = {name: [] for name in sides}
    for number in range(60):
        for name, side in sides.items():
            size = chance.choice([0, 1, 100, stream.RING_BYTES - 12, 3 * stream.RING_BYTES])
            message = Message(number, chance.randrange(1 << 32), chance.randbytes(size))
            side.send(*message)
            sent[name].append(message)
        other = {"front": "back", "back": "front"}
        for _ in range(8):
            name = chance.choice(list(sides))
            got[other[name]] += sides[name].transfer()[0]
    while len(got["front"]) < 60 or len(got["back"]) < 60:
        got["back"] += pair.front.transfer()[0]
        got["front"] += pair.back.transfer()[0]
    assert got == sent


def test_indexes_wrap(pair: Pair) -> None:
    """After four gigabytes the 32-bit indexes begin again."""
    for side in (pair.front, pair.back):
        side._rings._produced = side._rings._consumed = 0xFFFFFF00
    for page in (stream.FRONT_AT, stream.BACK_AT):
        pair.word(page, 0, 0xFFFFFF00)
        pair.word(page, 1, 0xFFFFFF00)
    payload = bytes(range(256)) * 20
    pair.front.send(3, 1, payload)
    pair.front.transfer()
    assert pair.back.transfer()[0] == [Message(3, 1, payload)]


@pytest.mark.parametrize("value", [stream.RING_BYTES + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_impossible_produced_index(pair: Pair, value: int) -> None:
    pair.word(stream.FRONT_AT, 0, value)
    with pytest.raises(ChannelError, match="more than the ring holds"):
        pair.back.transfer()


@pytest.mark.parametrize("value", [1, 0x80000000])
def test_an_impossible_consumed_index(pair: Pair, value: int) -> None:
    pair.word(stream.FRONT_AT, 1, value)
    pair.back.send(1)
    with pytest.raises(ChannelError, match="never written"):
        pair.back.transfer()


def test_a_length_beyond_all_limits(pair: Pair) -> None:
    header = stream.MESSAGE.pack(stream.PAYLOAD_MAX + 1, 1, 0, 1)
    pair.pages[stream.TO_BACK_AT : stream.TO_BACK_AT + len(header)] = header
    pair.word(stream.FRONT_AT, 0, len(header))
    with pytest.raises(ChannelError, match="too long"):
        pair.back.transfer()


def test_a_peer_that_does_not_read(pair: Pair) -> None:
    whole = stream.MESSAGE.size + stream.PAYLOAD_MAX
    for _ in range(stream.UNSENT_MAX // whole):
        pair.back.send(1, 1, bytes(stream.PAYLOAD_MAX))
    with pytest.raises(ChannelError, match="does not read"):
        pair.back.send(1, 1, bytes(stream.PAYLOAD_MAX))


def test_own_indexes_are_never_read_back(pair: Pair) -> None:
    """The peer can write to all pages; what it does to our own words changes nothing."""
    pair.front.send(1, 1, b"abc")
    pair.front.transfer()
    pair.word(stream.BACK_AT, 0, 12345)
    pair.word(stream.BACK_AT, 1, 54321)
    assert pair.back.transfer()[0] == [Message(1, 1, b"abc")]


def test_a_peer_is_alive_until_its_kernel_says_otherwise(pair: Pair) -> None:
    assert pair.front.peer_is_alive()
    pair.pages[stream.BACK_AT + stream.ALIVE_AT] = 0
    assert not pair.front.peer_is_alive()
    assert pair.back.peer_is_alive()
