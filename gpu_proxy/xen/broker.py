# SPDX-License-Identifier: Apache-2.0
"""Every mapping of a grant and every binding of an event channel is made here, for one domain each.

The devices do not tell domains apart: whoever holds them open can map any tenant's pages. So the
supervisor does it, one file for each session, and workers, which belong to their tenants, may only
use what they are given (gpu_proxy/seccomp.py).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from idm.xen.devices import EventFile, MappedGrants

CALL_PAGES_MAX = 65536  # gntdev's own limit of one mapping
KNOB = "maptrack entries: gnttab_max_maptrack_frames on Xen's command line"


class Broker:
    """Maps and binds what one domain has granted to us."""

    def __init__(self, domain: int) -> None:
        self.domain = domain

    def map(self, refs: Sequence[int]) -> MappedGrants:
        """Return a file that maps these pages from offset 0. Raises OSError."""
        if not 0 < len(refs) <= CALL_PAGES_MAX:
            raise OSError(
                errno.E2BIG, f"{len(refs)} pages in one mapping, at most {CALL_PAGES_MAX}"
            )
        try:
            return MappedGrants(self.domain, refs)
        except OSError as error:
            text = f"cannot map {len(refs)} pages of domain {self.domain}: "
            raise OSError(error.errno, text + describe(error)) from None

    def bind(self, ports: Sequence[int]) -> tuple[EventFile, list[int]]:
        """Return a file that can only be used for this domain, and its ports bound to `ports`."""
        events = EventFile()
        try:
            local = [events.bind(self.domain, port) for port in ports]
            events.restrict(self.domain)
        except OSError as error:
            events.close()
            text = f"cannot bind ports of domain {self.domain}: {os.strerror(error.errno or 0)}"
            raise OSError(error.errno, text) from None
        return events, local


def describe(error: OSError) -> str:
    """Return what a failed mapping means, with the knob where it is a limit."""
    text = os.strerror(error.errno or 0)
    return f"{text}; {KNOB}" if error.errno in (errno.ENOSPC, errno.ENOMEM) else text
