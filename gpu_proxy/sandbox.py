# SPDX-License-Identifier: Apache-2.0
"""Locks a freshly forked process in. The order matters:

namespaces while there are privileges to make them, then limits, the files that may be opened, the
identity, the capabilities, and the filter of system calls last, because it forbids all the others.
A part that the kernel does not offer is returned as a gap and logged; the filter must succeed.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import NoReturn

from gpu_proxy import bpf, landlock, prctl, seccomp
from gpu_proxy.spawn_request import Limits, SandboxPlan

PROC_PATHS = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm")
NAMESPACES = prctl.CLONE_NEWNET | prctl.CLONE_NEWIPC | prctl.CLONE_NEWUTS


def enter(plan: SandboxPlan, parent: int) -> list[str]:
    """Lock this process in as planned and return what could not be done, in words."""
    prctl.die_with_parent(parent)
    own_processes = plan.profile == "compiler"
    gaps = _leave_namespaces(plan, own_processes=own_processes)
    if own_processes and not gaps:
        _become_first_process()
        parent = 0  # What a process sees whose parent is outside its namespace.
    _limit(plan.limits)
    gaps += _empty_bounding_set()
    prctl.no_new_privileges()
    gaps += _restrict_files(plan)
    _become(plan)
    prctl.drop_capabilities()
    prctl.not_dumpable()
    prctl.die_with_parent(parent)  # Again: a change of identity clears it.
    bpf.install(seccomp.build(plan.profile, os.getpid()))
    return gaps


def _leave_namespaces(plan: SandboxPlan, *, own_processes: bool) -> list[str]:
    flags = NAMESPACES | (prctl.CLONE_NEWPID if own_processes else 0)
    uid, gid = os.geteuid(), os.getegid()
    user = plan.identity is None  # Without an identity of its own it gets a user namespace.
    try:
        prctl.unshare(flags | (prctl.CLONE_NEWUSER if user else 0))
        if user:
            _map_user(uid, gid)
    except OSError as error:
        return [f"no namespaces ({error})"]
    return []


def _map_user(uid: int, gid: int) -> None:
    """Keep the same numbers in the new user namespace, and no other."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _become_first_process() -> None:
    """Go on as the first process of the new process namespace: with it, all others there end."""
    keeper = os.getpid()
    child = os.fork()
    if child:
        _keep(child)
    if os.getppid() == keeper:
        raise OSError(errno.EINVAL, "no process namespace was made")


def _keep(child: int) -> NoReturn:
    """Wait for the first process and end as it ended."""
    os.closerange(3, 0x7FFFFFFF)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _empty_bounding_set() -> list[str]:
    """Needs a capability itself, which a daemon that is no root, or in a container, may lack."""
    try:
        prctl.drop_bounding_set()
    except PermissionError as error:
        return [] if os.geteuid() else [str(error)]
    return []


def _limit(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_AS: limits.address_bytes,
        resource.RLIMIT_NPROC: limits.processes,
    }
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for which, value in wanted.items():
        if value:
            hard = resource.getrlimit(which)[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (most, most))


def _restrict_files(plan: SandboxPlan) -> list[str]:
    if landlock.version() == 0:
        return ["no Landlock: files are protected by their modes only"]
    landlock.restrict((*plan.read_paths, *PROC_PATHS), plan.write_paths, plan.device_paths)
    return []


def _become(plan: SandboxPlan) -> None:
    if plan.identity is None:
        return
    os.setgroups([])
    os.setresgid(*[plan.identity.gid] * 3)
    os.setresuid(*[plan.identity.uid] * 3)
