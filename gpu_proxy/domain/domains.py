# SPDX-License-Identifier: Apache-2.0
"""Which pod domains there are, as xenstore has it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gpu_proxy.errors import DomainError, DomainMissing
from idm.errors import StoreError
from idm.xen import nodes
from idm.xen.nodes import State
from idm.xen.store import Store

DOMAINS = "/local/domain"


@dataclass(frozen=True)
class Domain:
    """A pod domain, and the domain whose gpu-proxy it has."""

    name: str
    number: int
    back: int
    memory_kib: int
    zone: str
    state: str  # of its GPU: served, waiting, ...
    commands: int  # of the toolstack that run in it


def connect() -> Store:
    """Return a connection to xenstore. Raises DomainError, which names what is missing."""
    if os.geteuid() != 0:
        raise DomainError("pod domains are root's: run this as root in the toolstack's domain")
    try:
        return Store()
    except StoreError as error:
        raise DomainError(f"{error}; does this machine run Xen, and is this Dom0?") from None


def own_number(store: Store) -> int:
    """Return this domain's number. Raises DomainError."""
    text = store.read("domid") or ""
    if not text.isdecimal():
        raise DomainError("xenstore does not say which domain this is (node domid)")
    return int(text)


def numbers(store: Store) -> list[int]:
    """Return the numbers of all domains that have a directory."""
    return sorted(int(text) for text in store.children(DOMAINS) if text.isdecimal())


def find(store: Store, name: str) -> int | None:
    """Return the number of the domain with this name or number, or None."""
    there = numbers(store)
    for number in there:
        if store.read(f"{nodes.domain_path(number)}/name") == name:
            return number
    return int(name) if name.isdecimal() and int(name) in there else None


def require(store: Store, name: str) -> int:
    """Return the number of a domain that must be there. Raises DomainMissing."""
    number = find(store, name)
    if number is None or not store.is_introduced(number):
        raise DomainMissing(f"no domain {name!r}; vgpu domain list shows those that have a GPU")
    return number


def pod_domains(store: Store) -> list[Domain]:
    """Return all domains that were announced to a gpu-proxy."""
    found = (describe(store, number) for number in numbers(store))
    return [domain for domain in found if domain]


def describe(store: Store, number: int) -> Domain | None:
    """Return what xenstore has about a domain; None when it has no GPU."""
    base, front = nodes.domain_path(number), nodes.front_path(number, nodes.GPU)
    back = store.read(f"{front}/backend-id") or ""
    if not back.isdecimal():
        return None
    path = nodes.back_path(int(back), nodes.GPU, number)
    memory = store.read(f"{base}/memory/target") or ""
    return Domain(
        name=store.read(f"{base}/name") or "",
        number=number,
        back=int(back),
        memory_kib=int(memory) if memory.isdecimal() else 0,
        zone=store.read(f"{path}/zone") or f"domain-{number}",
        state=_state(store, path),
        commands=len(store.children(f"{base}/device/{nodes.EXEC}")),
    )


def _state(store: Store, path: str) -> str:
    match nodes.state_of(store, path):
        case State.CONNECTED:
            return "served"
        case _ if store.read(f"{path}/error"):
            return "refused"
        case State.READY:
            return "waiting"  # for the zone's agent
        case _:
            return "unserved"  # no gpu-proxy has taken it, or it has stopped
