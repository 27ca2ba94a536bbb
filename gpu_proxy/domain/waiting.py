# SPDX-License-Identifier: Apache-2.0
"""Waiting for a domain's nodes to change."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from idm.xen.store import Store

RELEASED = "@releaseDomain"


def wait_for(store: Store, path: str, condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether a condition comes true: of nodes below `path`, or of domains that died."""
    watched = (path, RELEASED)
    for one in watched:
        store.watch(one, path)
    try:
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left < 0:
                return False
            # Events come in with the answers to requests as well: the descriptor does not tell all.
            if not store.events():
                select.select([store.fd], [], [], left)
        return True
    finally:
        for one in watched:
            store.unwatch(one, path)
