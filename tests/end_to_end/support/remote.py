# SPDX-License-Identifier: Apache-2.0
"""A daemon in another Xen domain, for the same tests run inside a pod domain.

The one who started the tests (tests/xen/inside) copies the log's lines about ended sessions to the
domain's xenstore directory.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from applications import Application, wait_until

from idm.xen.store import Store

SOCKET = "VGPU_TEST_REMOTE"
ENDED = "data/vgpu-test/ended"
SECONDS = 60


class RemoteProxy:
    """What tests use of a Proxy; every zone is this domain."""

    @staticmethod
    def is_wanted() -> bool:
        """Whether the tests run in a pod domain."""
        return SOCKET in os.environ

    def socket(self, zone: str = "default") -> Path:
        """The agent's socket."""
        del zone
        return Path(os.environ[SOCKET])

    def start(self, script: str, zone: str = "default", **environment: str) -> Application:
        """Run a script as an application of this domain."""
        return Application(script, self.socket(zone), **environment)

    def run(self, script: str, zone: str = "default", expected: int = 0, **environment: str) -> str:
        """Run a script to its end; what it printed."""
        return self.start(script, zone, **environment).end(expected)[0]

    def ended(self, session: int) -> dict[str, Any]:
        """Wait for the log's line about a session's end."""
        store = Store()
        try:
            text = wait_until(
                lambda: store.read(f"{ENDED}/{session}"), f"session {session} ends", SECONDS
            )
        finally:
            store.close()
        return json.loads(text)
