# SPDX-License-Identifier: Apache-2.0
"""The agent's messages: packed, unpacked, and damaged."""

from __future__ import annotations

import random

import pytest

from idm import handshake
from idm.errors import ChannelError
from idm.xen import messages
from idm.xen.messages import Open

HELLO = bytes(handshake.HELLO.size)
REFS = tuple(range(messages.REGION_PAGES))
OPEN = Open(12, 1000, HELLO, REFS, (5, 6, 7))


def test_open_crosses() -> None:
    assert Open.unpack(OPEN.pack()) == OPEN


def test_grants_cross() -> None:
    assert messages.unpack_grant(messages.pack_grant(3, 8192, (9, 10))) == (3, 8192, (9, 10))


@pytest.mark.parametrize(
    "changed",
    [
        Open(1, 1, HELLO, REFS[:-1], (1,)),
        Open(1, 1, HELLO, (*REFS, 1), (1,)),
        Open(1, 1, HELLO, REFS, ()),
        Open(1, 1, HELLO, REFS, tuple(range(2 + messages.DOORBELLS))),
        Open(1, 1, HELLO[:-4], REFS, (1,)),
    ],
)
def test_open_with_wrong_counts(changed: Open) -> None:
    with pytest.raises(ChannelError):
        Open.unpack(changed.pack())


@pytest.mark.parametrize("seed", range(50))
def test_open_damaged(seed: int) -> None:
    """Whatever the bytes: a message of ours, or a ChannelError."""
    chance = random.Random(seed)
    data = bytearray(OPEN.pack())
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(messages.OPENED.size)] = chance.randrange(256)
    cut = bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
    for unpack in (Open.unpack, messages.unpack_grant):
        try:
            unpack(cut)
        except ChannelError:
            continue


def test_too_many_references() -> None:
    with pytest.raises(ChannelError, match="references"):
        messages.unpack_grant(messages.pack_grant(1, 1, range(messages.REFS_MAX + 1)))
