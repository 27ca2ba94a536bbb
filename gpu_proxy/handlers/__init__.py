# SPDX-License-Identifier: Apache-2.0
"""Handlers: what the worker does for rows that C does not run.

A handler is `f(worker, request)`. It returns its results as bytes by parameter name (None: no
results), `Later` for what may block, or `PENDING` when the executor will answer; it raises
`CallError` with the CUresult that the application gets. A row finds its handler by the name that it
states, else by its symbol, else it gets the generic one.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from idm.api.table import Call

if TYPE_CHECKING:
    from gpu_proxy.request import Request
    from gpu_proxy.worker import Worker

Handler = Callable[["Worker", "Request"], Any]

_handlers: dict[str, Handler] = {}
_found: dict[int, Handler] = {}

MODULES = (
    "generic",
    "contexts",
    "green_contexts",
    "device_resources",
    "memory",
    "pools",
    "physical",
    "limits",
    "host_memory",
    "uploads",
    "modules",
    "functions",
    "transfers",
    "launches",
    "waits",
    "streams",
    "graphs",
    "graph_executables",
    "graph_memory",
    "graph_reading",
    "arrays",
    "textures",
    "tensor_maps",
    "links",
    "copies2d",
    "ipc",
    "occupancy",
)


class MissingHandler(LookupError):
    """A row names a handler that does not exist."""


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register a function for rows that state one of these names, or have it as their symbol."""

    def register(handler: Handler) -> Handler:
        for name in names:
            if name in _handlers:
                raise ValueError(f"two handlers for {name}")
            _handlers[name] = handler
        return handler

    return register


def find(row: Call) -> Handler:
    """The handler of a row."""
    if row.number not in _found:
        load_all()
        _found[row.number] = _choose(row)
    return _found[row.number]


def _choose(row: Call) -> Handler:
    if row.handler:
        if row.handler not in _handlers:
            raise MissingHandler(f"{row.symbol}: no handler {row.handler}")
        return _handlers[row.handler]
    return _handlers.get(row.symbol, _handlers["generic"])


def load_all() -> None:
    """Import every handler; the zygote does it once for all workers."""
    for name in MODULES:
        import_module(f"gpu_proxy.handlers.{name}")
