# SPDX-License-Identifier: Apache-2.0
"""A small assembler for seccomp filters on x86-64.

A filter is a table: system call number -> rule. Each rule becomes one block that always returns, so
a block never has to restore the number for the next one. Arguments are compared by their low 32
bits: all arguments that rules look at are ints for the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from gpu_proxy import prctl

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
AT_NUMBER, AT_ARCH, AT_ARGUMENTS = 0, 4, 16
ARCH_X86_64 = 0xC000003E
SECCOMP_MODE_FILTER = 2
EVERY_BIT = 0xFFFFFFFF
INSTRUCTIONS_MAX = 4096

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


def errno_action(number: int) -> int:
    """Return the action that makes a call fail with this errno."""
    return ERRNO | number


@dataclass(frozen=True)
class Always:
    """One action, whatever the arguments."""

    action: int

    def block(self) -> list[Instruction]:
        """Return the instructions."""
        return [(RETURN, 0, 0, self.action)]


@dataclass(frozen=True)
class Match:
    """One action where the masked argument is one of `values`, another where not.

    An argument that as a whole is one of `exceptions` counts as if it were not.
    """

    argument: int
    values: tuple[int, ...]
    then: int
    otherwise: int
    mask: int = EVERY_BIT
    exceptions: tuple[int, ...] = ()

    def block(self) -> list[Instruction]:
        """Return the instructions."""
        count, excepted = len(self.values), len(self.exceptions)
        return [
            (LOAD, 0, 0, AT_ARGUMENTS + 8 * self.argument),
            # To the return after all values: over the other exceptions, the mask, the values.
            *(
                (JUMP_EQUAL, excepted - i + count, 0, v & EVERY_BIT)
                for i, v in enumerate(self.exceptions)
            ),
            (AND, 0, 0, self.mask),
            # From value i the way to the end leads over the other values and one return.
            *((JUMP_EQUAL, count - i, 0, v & EVERY_BIT) for i, v in enumerate(self.values)),
            (RETURN, 0, 0, self.otherwise),
            (RETURN, 0, 0, self.then),
        ]


Rule = Always | Match


def assemble(rules: Mapping[int, Rule], default: int, unknown_from: int) -> bytes:
    """Return the filter. Calls of another architecture kill the process.

    Numbers from `unknown_from` on, x32's among them, do not exist for the process: a C library that
    is newer than this table then uses the older call.
    """
    program: list[Instruction] = [
        (LOAD, 0, 0, AT_ARCH),
        (JUMP_EQUAL, 1, 0, ARCH_X86_64),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, AT_NUMBER),
        (JUMP_AT_LEAST, 0, 1, unknown_from),
        (RETURN, 0, 0, errno_action(errno.ENOSYS)),
    ]
    # The kernel remembers which calls are always allowed; those that need a look come first.
    for number, rule in sorted(rules.items(), key=lambda item: isinstance(item[1], Always)):
        block = rule.block()
        program += [(JUMP_EQUAL, 0, len(block), number), *block]
    program.append((RETURN, 0, 0, default))
    if len(program) > INSTRUCTIONS_MAX:
        raise ValueError(f"a filter of {len(program)} instructions is too long")
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def install(filter_bytes: bytes) -> None:
    """Lock this thread, and all that it starts, under the filter. Needs no_new_privs."""
    program = _Program(len(filter_bytes) // 8, filter_bytes)
    address = ctypes.addressof(program)
    prctl.prctl(prctl.PR_SET_SECCOMP, SECCOMP_MODE_FILTER, address, what="PR_SET_SECCOMP")
