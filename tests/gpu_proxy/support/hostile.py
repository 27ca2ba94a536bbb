# SPDX-License-Identifier: Apache-2.0
"""What a hostile worker would try. Each attempt returns "done", or the name of the errno it got."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
from collections.abc import Callable

from idm.xen import devices

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH = 16


def _call(function: Callable[[], object]) -> str:
    try:
        function()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def _libc(name: str, *arguments: object) -> Callable[[], None]:
    def call() -> None:
        if getattr(libc, name)(*arguments) == -1:
            number = ctypes.get_errno()
            raise OSError(number, name)

    return call


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


ATTEMPTS: dict[str, Callable[[], str]] = {
    "socket": lambda: _call(socket.socket),
    "kill-parent": lambda: _call(lambda: os.kill(os.getppid(), 0)),
    "kill-everyone": lambda: _call(lambda: os.kill(-1, 0)),
    "open-write": lambda: _call(lambda: os.open("/tmp/hostile", os.O_WRONLY | os.O_CREAT)),
    "open-passwd": lambda: _call(lambda: os.open("/etc/passwd", os.O_RDONLY)),
    "open-parent": lambda: _call(lambda: os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY)),
    "fork": lambda: _call(_fork),
    "unlink": lambda: _call(lambda: os.unlink("/tmp/hostile")),
    "prctl-dumpable": lambda: _call(_libc("prctl", 4, 1, 0, 0, 0)),
    "tiocsti": lambda: _call(_libc("ioctl", 0, 0x5412, b"x")),
    "execve": lambda: _call(lambda: os.execv("/bin/true", ["true"])),
    "ptrace": lambda: _call(_libc("ptrace", PTRACE_ATTACH, os.getppid(), 0, 0)),
    "unshare": lambda: _call(_libc("unshare", 0x10000000)),
    "setuid": lambda: _call(lambda: os.setresuid(0, 0, 0)),
    "mount": lambda: _call(_libc("mount", b"none", b"/tmp", b"tmpfs", 0, None)),
    "read-parent-memory": lambda: _call(_libc("process_vm_readv", os.getppid(), None, 0, None, 0)),
    "unlisted-call": lambda: _call(_libc("syscall", 320, -1, -1, 0, None, 0)),  # kexec_file_load
    "future-call": lambda: _call(_libc("syscall", 1000)),
    "map-grant": lambda: _devices(devices.MAP_GRANT_REF, devices.MAP.pack(1, 0, 0), 0, 8),
    "grant-notify": lambda: _devices(devices.MAP_NOTIFY, devices.NOTIFY_AT.pack(0, 3, 1)),
    "bind-port": lambda: _devices(devices.BIND_INTERDOMAIN, bytes(8)),
    "allocate-port": lambda: _devices(devices.BIND_UNBOUND_PORT, bytes(4)),
    "unrestrict": lambda: _devices(devices.RESTRICT_DOMID, bytes(2)),
    "thread": lambda: _call(_thread),
    "executable-memory": lambda: _call(_executable),
}


def _devices(request: int, data: bytes, *words: int) -> str:
    """Ask every descriptor that this worker has: under Xen one is gntdev's, one evtchn's."""
    argument = bytearray(data + b"".join(word.to_bytes(4, "little") for word in words))
    open_ones = [int(name) for name in os.listdir("/proc/self/fd")]
    tried = {_call(lambda fd=fd: fcntl.ioctl(fd, request, argument)) for fd in open_ones}
    return " ".join(sorted(tried - {"EBADF"}))


def _thread() -> None:
    import threading

    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def _executable() -> None:
    import mmap

    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b"\xc3")
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
