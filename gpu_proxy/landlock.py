# SPDX-License-Identifier: Apache-2.0
"""Landlock: which files a process of a zone can open at all, whatever their mode says."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from gpu_proxy.prctl import check, libc

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
VERSION_FLAG = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
REMOVE_AND_MAKE = 0x1FF0  # remove and make, of every kind of file
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
MAKE_PLAIN = 0x30 | 0x80 | 0x100  # remove and make plain files and directories

READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | TRUNCATE | REFER | MAKE_PLAIN
DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV

SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1, 2


def version() -> int:
    """Return the kernel's version of Landlock; 0 where there is none."""
    found = int(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG))
    return max(found, 0)


def _handled(abi: int) -> int:
    """Return the rights that this version can refuse."""
    rights = 0x1FFF
    for first, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        if abi >= first:
            rights |= right
    return rights


def restrict(read: Iterable[str], write: Iterable[str] = (), devices: Iterable[str] = ()) -> None:
    """Allow these paths and nothing else, for ever. Paths that do not exist are left out."""
    abi = version()
    handled = _handled(abi)
    ruleset = _create(handled, abi)
    try:
        for paths, rights in ((read, READ), (write, WRITE), (devices, DEVICE)):
            for path in paths:
                _add(ruleset, path, rights & handled)
        check(libc.syscall(RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _create(handled: int, abi: int) -> int:
    scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if abi >= 6 else 0
    attributes = struct.pack("<QQQ", handled, 0, scoped)
    size = 24 if abi >= 6 else 8  # An older kernel refuses a longer structure.
    result = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    return int(check(result, "landlock_create_ruleset"))


def _add(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= FILE_RIGHTS
        rule = struct.pack("<Qi", rights, fd)
        check(libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0), f"landlock {path}")
    finally:
        os.close(fd)
