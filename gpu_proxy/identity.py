# SPDX-License-Identifier: Apache-2.0
"""Whether the daemon can give the processes of a zone a uid of their own, and which."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from gpu_proxy import log
from gpu_proxy.errors import StartError
from gpu_proxy.settings import Settings, ZoneSettings
from gpu_proxy.spawn_request import Identity

# To hand over the cache, to end workers of another uid, and to become that uid.
NEEDED = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
STATUS = Path("/proc/self/status")
ID_MAPS = (Path("/proc/self/uid_map"), Path("/proc/self/gid_map"))


def choose(settings: Settings, zone: ZoneSettings, read_paths: Iterable[str]) -> Identity | None:
    """Return the zone's own uid, or None, with a warning that says why there is none."""
    wish = settings.workers.own_uid
    if wish == "never":
        return None
    uid = settings.workers.uid_base + zone.index
    reason = _lacking_rights() or _unmapped(uid) or closed_to_others(read_paths)
    if not reason:
        return Identity(uid, uid)
    if wish == "always":
        raise StartError(f"zone {zone.name}: its workers cannot have their own uid: {reason}")
    log.get(part="sandbox").warning(
        "workers-share-uid", zone=zone.name, uid=os.geteuid(), reason=reason
    )
    return None


def _lacking_rights() -> str:
    if os.geteuid():
        return "the daemon does not run as root"
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", STATUS.read_text(encoding="ascii"), re.M)
    effective = int(found[1], 16) if found else 0
    missing = [name for name, bit in NEEDED.items() if not effective >> bit & 1]
    return f"the daemon lacks {', '.join(missing)}" if missing else ""


def _unmapped(uid: int) -> str:
    """In a user namespace, as of a rootless container, only some numbers exist."""
    for path in ID_MAPS:
        ranges = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
        if not any(int(first) <= uid < int(first) + int(count) for first, _, count in ranges):
            return f"this user namespace has no number {uid}"
    return ""


def closed_to_others(paths: Iterable[str]) -> str:
    """Return which directory another user cannot enter, or nothing."""
    for path in paths:
        for step in (Path(path), *Path(path).parents):
            if step.is_dir() and not step.stat().st_mode & stat.S_IXOTH:
                return f"other users cannot enter {step}"
    return ""
