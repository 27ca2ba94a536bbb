# SPDX-License-Identifier: Apache-2.0
"""What the toolstack and a zone's agent say on the channel of one command.

`vgpu domain exec` announces an instance of the device `vgpu-exec` for each command and is its back
end; the agent is the front end. The agent trusts the toolstack as it trusts the hypervisor; what
the agent says is hostile input.

    START       to the agent     what to run; once, first
    SIGNAL      to the agent     for the command's process group
    RESIZE      to the agent     new size of the terminal
    STARTED     from the agent   the command runs
    FAILED      from the agent   it could not be started: exit code and text; last
    EXITED      from the agent   exit code, signal; last, after all that it has written
    DATA        of a stream      bytes, within the room that the receiver has given
    END         of a stream      there will be no more
    CREDIT      of a stream      from its receiver: room for more bytes
    CLOSED      of a stream      from its receiver: nobody reads it any more

A message of a stream has the stream's number as its session. Each stream begins with room for
WINDOW bytes, so no stream can stop another, and what waits anywhere is bounded.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, field

from idm.errors import ChannelError
from idm.xen.stream import PAYLOAD_MAX

STDIN, STDOUT, STDERR = range(3)
START, SIGNAL, RESIZE = range(1, 4)
STARTED, FAILED, EXITED = range(11, 14)
DATA, END, CREDIT, CLOSED = range(21, 25)

WINDOW = 256 << 10
CHUNK = 16 << 10  # of one DATA message, so that streams take turns in the ring

NUMBER = struct.Struct("<I")
SIZE = struct.Struct("<HH")  # rows, columns
ENDED = struct.Struct("<II")  # exit code, signal
ID_MAX = (1 << 32) - 2  # of users and groups; the last number means "no change"
CODE_MAX, SIGNAL_MAX = 255, 64
TEXT_MAX = 4096


@dataclass(frozen=True)
class Request:
    """A command and how to run it."""

    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)  # added to the agent's own few
    directory: str = "/"
    root: str = ""  # a directory of the guest; "" is its image, or its own root without one
    uid: int = 0
    gid: int = 0
    terminal: tuple[int, int] | None = None  # rows and columns; None: three pipes

    def pack(self) -> bytes:
        """Return the payload of START. Raises ValueError when it is too long."""
        packed = json.dumps(asdict(self)).encode()
        if len(packed) > PAYLOAD_MAX:
            raise ValueError(f"arguments and environment of {len(packed)} bytes are too long")
        return packed

    @classmethod
    def unpack(cls, payload: bytes) -> Request:
        """Check a payload. Raises ChannelError: the toolstack is of another version."""
        try:
            tree = json.loads(payload)
            size = tree["terminal"]
            return cls(
                argv=tuple(map(_text, tree["argv"])),
                environment={_text(k): _text(v) for k, v in tree["environment"].items()},
                directory=_text(tree["directory"]),
                root=_text(tree["root"]),
                uid=_within(tree["uid"], ID_MAX),
                gid=_within(tree["gid"], ID_MAX),
                terminal=size and (_within(size[0], 0xFFFF), _within(size[1], 0xFFFF)),
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ChannelError(f"a request that is none: {error!r}") from None


@dataclass(frozen=True)
class Outcome:
    """How a command ended: an exit code, or the signal that killed it."""

    code: int = 0
    signal: int = 0
    failure: str = ""  # why it never started

    @classmethod
    def unpack(cls, kind: int, payload: bytes) -> Outcome:
        """Check a FAILED or EXITED of unknown truth. Raises ChannelError."""
        if kind == FAILED and NUMBER.size <= len(payload) <= NUMBER.size + TEXT_MAX:
            (code,) = NUMBER.unpack_from(payload)
            text = payload[NUMBER.size :].decode("utf-8", "replace")
            outcome = cls(code, failure=text or "it does not say why")
        elif kind == EXITED and len(payload) == ENDED.size:
            outcome = cls(*ENDED.unpack(payload))
        else:
            raise ChannelError(f"an end of {len(payload)} bytes")
        if outcome.code > CODE_MAX or outcome.signal > SIGNAL_MAX:
            raise ChannelError(f"exit code {outcome.code} and signal {outcome.signal} are none")
        return outcome


def pack_failure(code: int, text: str) -> bytes:
    """Return the payload of FAILED."""
    return NUMBER.pack(code) + text.encode("utf-8", "replace")[:TEXT_MAX]


def unpack_number(payload: bytes) -> int:
    """Return what SIGNAL and CREDIT carry. Raises ChannelError."""
    if len(payload) != NUMBER.size:
        raise ChannelError(f"a number of {len(payload)} bytes")
    return int(NUMBER.unpack(payload)[0])


def unpack_size(payload: bytes) -> tuple[int, int]:
    """Return the rows and columns of RESIZE. Raises ChannelError."""
    if len(payload) != SIZE.size:
        raise ChannelError(f"a size of {len(payload)} bytes")
    rows, columns = SIZE.unpack(payload)
    return rows, columns


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r} is no text")
    return value


def _within(value: object, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is not a number up to {most}")
    return value
