# SPDX-License-Identifier: Apache-2.0
"""The few prctl and namespace calls that Python does not offer. All errors are OSError."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

CAPABILITY_VERSION_3 = 0x20080522
CAPABILITIES_MAX = 64

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4


def check(result: int, what: str) -> int:
    """Turn -1 into an OSError that says what failed."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, *arguments: int, what: str) -> int:
    """Call prctl with up to four arguments."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return check(libc.prctl(option, *padded), what)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends, also when it has ended already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, what="PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        os._exit(1)


def not_dumpable() -> None:
    """Let nobody of the same uid trace this process or read its memory."""
    prctl(PR_SET_DUMPABLE, 0, what="PR_SET_DUMPABLE")


def no_new_privileges() -> None:
    """No later exec can gain privileges; seccomp asks for it."""
    prctl(PR_SET_NO_NEW_PRIVS, 1, what="PR_SET_NO_NEW_PRIVS")


def unshare(flags: int) -> None:
    """Leave the parent's namespaces."""
    check(libc.unshare(flags), "unshare")


def drop_bounding_set() -> None:
    """No capability can come back. Needs CAP_SETPCAP."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        last = int(file.read())
    for capability in range(last + 1):
        prctl(PR_CAPBSET_DROP, capability, what="PR_CAPBSET_DROP")


def drop_capabilities() -> None:
    """Empty the permitted, effective, inheritable and ambient sets."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, what="PR_CAP_AMBIENT_CLEAR_ALL")
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    check(libc.capset(header, none), "capset")
