# SPDX-License-Identifier: Apache-2.0
"""Processes that fork: what the child gets depends on what its parent had begun, and nothing hangs."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from applications import Application

NO_DEVICE = "100"
SILENT = """
import os, threading
from cu import *
status = []
attaching = threading.Thread(target=lambda: status.append(lib.cuInit(0)))
attaching.start()
hear()  # the test has the hello: the thread is in the middle of the handshake
child = os.fork()
if child == 0:
    import signal
    signal.alarm(100)  # a child that waits for a lock is killed
    os._exit(lib.cuInit(0))
say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
attaching.join()
say(*status)
"""


def test_a_child_made_during_cuinit_attaches_for_itself():
    """The thread that shakes hands does not exist in the child, and its connection is not open."""
    path = Path(tempfile.mkdtemp(prefix="vgpu-")) / "proxy.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(100)
        application = Application(SILENT, path)
        parents, _ = listener.accept()
        assert parents.recv(4096)
        application.say()
        childs, _ = listener.accept()
        assert childs.recv(4096)
        assert pid_of(childs) != pid_of(parents)
        childs.close()
        assert application.hear() == [NO_DEVICE]
        parents.close()
        assert application.hear() == [NO_DEVICE]
    application.end()


def pid_of(connection):
    return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")
