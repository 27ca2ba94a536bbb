# SPDX-License-Identifier: Apache-2.0
"""Each profile of the sandbox in a forked child, also the one that only real GPUs use."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_proxy import plans, sandbox
from gpu_proxy.spawn_request import Identity, Limits, SandboxPlan
from idm.xen import devices

GNTDEV_MAP = 0x184700  # ioctl numbers of type 'G', 'E' and 'P' belong to Xen's devices
EVTCHN_BIND = 0x084500
PRIVCMD_CALL = 0x305000
NVIDIA_CALL = 0xC020462A
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another uid")


def plan(profile: str, **changes: Any) -> SandboxPlan:
    values: dict[str, Any] = {
        "profile": profile,
        "identity": Identity(1_900_000_077, 1_900_000_077) if os.geteuid() == 0 else None,
        "limits": Limits(),
        "read_paths": (*plans.SYSTEM_PATHS, *plans.module_paths()),
        "device_paths": ("/dev/null",),
    }
    return SandboxPlan(**(values | changes))


def inside(chosen: SandboxPlan, function: Callable[[], Any]) -> tuple[Any, int]:
    """Run a function in a sandboxed child; return its answer and the child's status."""
    reader, writer = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 3)  # Where the keeper of a process namespace closes it too.
        try:
            sandbox.enter(chosen, parent)
            os.write(3, json.dumps(function()).encode())
        except BaseException:  # noqa: BLE001 - the test must not go on in the child
            os.write(3, json.dumps(traceback.format_exc()).encode())
        os._exit(0)
    os.close(writer)
    answer = b""
    while data := os.read(reader, 65536):
        answer += data
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return (json.loads(answer) if answer else None), status


def result(function: Callable[[], object]) -> str:
    try:
        function()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def ioctl(number: int) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ioctl(1, ctypes.c_ulong(number), None) == -1:
        return errno.errorcode[ctypes.get_errno()]
    return "done"


def test_real_workers_talk_to_nvidia_devices_and_not_to_xens() -> None:
    def attempts() -> list[str]:
        return [ioctl(n) for n in (GNTDEV_MAP, EVTCHN_BIND, PRIVCMD_CALL)] + [ioctl(NVIDIA_CALL)]

    answer, status = inside(plan("worker-real"), attempts)
    assert answer[:3] == ["EPERM"] * 3
    assert answer[3] != "EPERM"
    assert status == 0


@pytest.mark.parametrize("profile", ["worker-stub", "worker-real"])
def test_workers_ring_doorbells_between_domains_and_no_more(profile: str) -> None:
    def attempts() -> list[str]:
        others = (devices.BIND_INTERDOMAIN, devices.BIND_UNBOUND_PORT, devices.RESTRICT_DOMID)
        return [ioctl(devices.NOTIFY)] + [ioctl(number) for number in others]

    answer, status = inside(plan(profile), attempts)
    assert answer == ["ENOTTY", "EPERM", "EPERM", "EPERM"]
    assert status == 0


def test_real_workers_write_devices_and_nothing_else(tmp_path: Path) -> None:
    victim = tmp_path / "file"
    victim.write_text("x")
    victim.chmod(0o666)

    def attempts() -> list[str]:
        return [
            result(lambda: os.open("/dev/null", os.O_RDWR)),
            result(lambda: os.open(victim, os.O_RDWR)),
            result(lambda: os.open(victim, os.O_RDONLY)),
            result(lambda: os.open("/tmp/new", os.O_RDWR | os.O_CREAT)),
            result(lambda: os.fork() or os._exit(0)),
            result(lambda: os.kill(os.getppid(), 0)),
        ]

    answer, _ = inside(plan("worker-real"), attempts)
    assert answer == ["done", "EACCES", "EACCES", "EPERM", "EPERM", "EPERM"]


@pytest.mark.parametrize("profile", ["worker-stub", "worker-real", "compiler"])
def test_every_profile_forbids_programs(profile: str) -> None:
    answer, status = inside(plan(profile), lambda: os.execv("/bin/true", ["true"]))
    assert answer is None
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS
    assert killed or os.waitstatus_to_exitcode(status) == 128 + signal.SIGSYS


def test_compilers_fork_write_their_cache_and_nothing_else(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    tmp_path.chmod(0o777)
    if os.geteuid() == 0:
        os.chown(cache, 1_900_000_077, 1_900_000_077)

    def attempts() -> list[Any]:
        child = os.fork()
        if child == 0:
            os._exit(7)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return [
            os.getpid(),
            exit_code,
            result(lambda: os.open("object", os.O_WRONLY | os.O_CREAT, dir_fd=directory)),
            result(lambda: os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)),
            result(lambda: os.kill(parent, 0)),
        ]

    parent = os.getpid()
    directory = os.open(cache, os.O_PATH)
    os.set_inheritable(directory, True)
    answer, _ = inside(plan("compiler", write_paths=(str(cache),)), attempts)
    os.close(directory)
    assert answer[:2] == [1, 7], answer
    assert answer[2:] == ["done", "EACCES", "ESRCH"]
    assert (cache / "object").exists()


@as_root
def test_without_an_identity_root_is_powerless() -> None:
    """In a user namespace of its own, without capabilities and under the filter."""

    def attempts() -> list[Any]:
        return [os.geteuid(), result(lambda: os.open("/etc/shadow", os.O_RDONLY))]

    answer, _ = inside(plan("worker-stub", identity=None), attempts)
    assert answer == [0, "EACCES"]
