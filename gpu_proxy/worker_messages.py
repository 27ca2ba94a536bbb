# SPDX-License-Identifier: Apache-2.0
"""What a worker and the supervisor say to each other: one JSON object a SOCK_SEQPACKET message.

The supervisor treats everything from a worker as hostile: it decodes strictly, with bounds on every
number and text, and an unknown message ends the session.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

MESSAGE_MAX = 4096
TEXT_MAX = 2048

Amount = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
RequestId = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
# A token is 64 bits that the front end chose; JSON numbers above 2^53 are exact in msgspec.
Token = Annotated[int, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
ChargeKind = Literal["device", "host", "handles"]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    """Base of all messages of a worker."""


class Ready(Message, frozen=True, tag="ready"):
    """The worker has mapped everything and reads its ring."""


class Charge(Message, frozen=True, tag="charge"):
    """May I have this much? Answered by Verdict."""

    id: RequestId
    kind: ChargeKind
    amount: Amount


class Release(Message, frozen=True, tag="release"):
    """I gave this much back. Not answered."""

    kind: ChargeKind
    amount: Amount


class Memory(Message, frozen=True, tag="memory"):
    """Make pinned host memory. Answered by MemoryVerdict with a descriptor."""

    id: RequestId
    bytes: Amount
    token: Token


class MemoryFreed(Message, frozen=True, tag="memory-freed"):
    """The pinned memory of this token is not used any more. Not answered."""

    bytes: Amount
    token: Token


class Usage(Message, frozen=True, tag="usage"):
    """How much device memory does my zone use? Answered by UsageReply."""

    id: RequestId


class End(Message, frozen=True, tag="end"):
    """End this session."""

    reason: Text


class Log(Message, frozen=True, tag="log"):
    """A line for the log."""

    event: Annotated[str, msgspec.Meta(max_length=64)]
    fields: dict[Annotated[str, msgspec.Meta(max_length=64)], Text | int | float | bool | None] = {}


FromWorker = Ready | Charge | Release | Memory | MemoryFreed | Usage | End | Log


class Verdict(msgspec.Struct, frozen=True):
    """Answer to Charge."""

    id: int
    ok: bool
    used: int
    limit: int


class MemoryVerdict(msgspec.Struct, frozen=True):
    """Answer to Memory; a descriptor comes with it when `ok`."""

    id: int
    ok: bool


class UsageReply(msgspec.Struct, frozen=True):
    """Answer to Usage."""

    id: int
    used: int
    limit: int


Reply = Verdict | MemoryVerdict | UsageReply

encode = msgspec.json.encode
_decoder = msgspec.json.Decoder(FromWorker)


def decode_from_worker(payload: bytes) -> FromWorker:
    """Decode strictly. Raises msgspec.MsgspecError and what broken text raises."""
    message: FromWorker = _decoder.decode(payload)
    return message
