# SPDX-License-Identifier: Apache-2.0
"""The nodes of commands: one instance of `vgpu-exec` each, none of a process that is dead."""

from __future__ import annotations

import os
from pathlib import Path

from gpu_proxy.errors import DomainError, DomainGone
from idm.errors import StoreError
from idm.xen import nodes
from idm.xen.store import Store

OWNER = "owner"  # node: the process that runs the command, in the back end's domain
INDEX_MAX = 1 << 31
START_TIME_FIELD = 22  # of /proc/PID/stat


def announce_instance(store: Store, domain: int, own: int) -> int:
    """Make the nodes of a new instance; its index. Raises DomainError.

    Indexes are random: the agent must not take a new instance for one that it has seen.
    """
    withdraw_dead(store, own)
    there = store.children(f"{nodes.domain_path(domain)}/device/{nodes.EXEC}")
    if len(there) >= nodes.EXECS_MAX:
        raise DomainError(f"domain {domain} runs {len(there)} commands already, the most there are")
    more = {OWNER: identity(os.getpid())}
    try:
        while True:
            index = int.from_bytes(os.urandom(4), "little") % INDEX_MAX
            if nodes.announce(store, nodes.EXEC, domain, own, more, index):
                return index
    except StoreError as error:
        if nodes.is_there(store, domain):
            raise DomainError(str(error)) from None
        raise DomainGone(f"domain {domain} is gone") from None


def withdraw_dead(store: Store, own: int) -> None:
    """Remove the instances whose process was killed before it could do so."""
    backends = f"{nodes.domain_path(own)}/backend/{nodes.EXEC}"
    for domain in store.children(backends):
        for index in store.children(f"{backends}/{domain}"):
            owner = store.read(f"{backends}/{domain}/{index}/{OWNER}") or ""
            pid = owner.partition(" ")[0]
            if not pid.isdecimal() or identity(int(pid)) != owner:
                nodes.withdraw(store, nodes.EXEC, int(domain), own, int(index))


def withdraw_all(store: Store, domain: int, own: int) -> None:
    """Remove all instances of a domain."""
    for index in store.children(f"{nodes.domain_path(own)}/backend/{nodes.EXEC}/{domain}"):
        nodes.withdraw(store, nodes.EXEC, domain, own, int(index))


def identity(pid: int) -> str:
    """Return a process's number and when it began, since numbers are used again; "" when gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return f"{pid} {text.rpartition(')')[2].split()[START_TIME_FIELD - 3]}"
