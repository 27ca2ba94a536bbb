# SPDX-License-Identifier: Apache-2.0
"""Doorbells of both kinds, for tests: an eventfd, or a port on a file of /dev/xen/evtchn."""

from __future__ import annotations

import fcntl
import os
import select

from idm.transport import Doorbell
from idm.xen.devices import NOTIFY


def ring(bell: Doorbell) -> None:
    """Wake the peer."""
    if bell.port:
        fcntl.ioctl(bell.fd, NOTIFY, bell.port.to_bytes(4, "little"))
    else:
        os.eventfd_write(bell.fd, 1)


def wait(bell: Doorbell) -> None:
    """Sleep until it rings. A port may also fire once when it is bound."""
    poll = select.poll()
    poll.register(bell.fd, select.POLLIN)
    poll.poll()
    take(bell)


def take(bell: Doorbell) -> None:
    """Take back what was rung."""
    if bell.port:
        os.write(bell.fd, os.read(bell.fd, 64))
    else:
        os.eventfd_read(bell.fd)
