# SPDX-License-Identifier: Apache-2.0
"""Requests and outcomes survive the way; what cannot be one is refused."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idm.errors import ChannelError
from idm.xen import exec_messages as said
from idm.xen.exec_messages import Outcome, Request
from idm.xen.stream import PAYLOAD_MAX

TEXT = st.text(st.characters(blacklist_characters="\0"))
IDS = st.integers(0, said.ID_MAX)
SIZES = st.tuples(st.integers(0, 65535), st.integers(0, 65535))


@given(
    st.builds(
        Request,
        argv=st.lists(TEXT).map(tuple),
        environment=st.dictionaries(TEXT, TEXT),
        directory=TEXT,
        root=TEXT,
        uid=IDS,
        gid=IDS,
        terminal=st.none() | SIZES,
    )
)
def test_a_request_survives(request: Request) -> None:
    assert Request.unpack(request.pack()) == request


def test_bytes_that_are_no_text_survive() -> None:
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert Request.unpack(Request((odd,), {odd: odd}).pack()).argv == (odd,)


def test_a_request_has_a_limit() -> None:
    with pytest.raises(ValueError, match="too long"):
        Request(("x" * PAYLOAD_MAX,)).pack()


@pytest.mark.parametrize(
    "change",
    [
        {"argv": [1]},
        {"argv": ["a\0b"]},
        {"environment": {"A": None}},
        {"environment": []},
        {"uid": -1},
        {"uid": (1 << 32) - 1},
        {"gid": "0"},
        {"terminal": [1]},
        {"terminal": [1, 65536]},
        {"directory": 7},
    ],
)
def test_a_request_that_is_none(change: dict[str, object]) -> None:
    with pytest.raises(ChannelError):
        Request.unpack(json.dumps({**asdict(Request(("true",))), **change}).encode())


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"null", b"\xff", b'"x"'])
def test_a_payload_that_is_no_request(payload: bytes) -> None:
    with pytest.raises(ChannelError):
        Request.unpack(payload)


def test_outcomes() -> None:
    assert Outcome.unpack(said.EXITED, said.ENDED.pack(7, 0)) == Outcome(code=7)
    assert Outcome.unpack(said.EXITED, said.ENDED.pack(0, 9)) == Outcome(signal=9)
    failure = said.pack_failure(127, "no such file")
    assert Outcome.unpack(said.FAILED, failure) == Outcome(127, failure="no such file")
    assert Outcome.unpack(said.FAILED, said.pack_failure(1, "")).failure


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (said.EXITED, b""),
        (said.EXITED, said.ENDED.pack(256, 0)),
        (said.EXITED, said.ENDED.pack(0, 65)),
        (said.EXITED, said.ENDED.pack(0, 0) + b"x"),
        (said.FAILED, b"abc"),
        (said.FAILED, said.NUMBER.pack(1000) + b"x"),
        (said.FAILED, said.NUMBER.pack(1) + b"x" * (said.TEXT_MAX + 1)),
        (said.STARTED, said.ENDED.pack(0, 0)),
    ],
)
def test_an_outcome_that_is_none(kind: int, payload: bytes) -> None:
    with pytest.raises(ChannelError):
        Outcome.unpack(kind, payload)


def test_a_long_failure_is_cut() -> None:
    assert len(said.pack_failure(1, "ä" * 10000)) == said.NUMBER.size + said.TEXT_MAX


@pytest.mark.parametrize("unpack", [said.unpack_number, said.unpack_size])
def test_numbers_of_the_wrong_length(unpack: object) -> None:
    for payload in (b"", b"123", b"12345"):
        with pytest.raises(ChannelError):
            unpack(payload)
