# SPDX-License-Identifier: Apache-2.0
"""Naming memory and events for other processes; opening such names is refused."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward, object_of
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
IDENTIFIER_BYTES = 64


@handles("ipc_get_mem_handle")
def ipc_get_mem_handle(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Only what this session allocated can be given to others."""
    allocation = worker.resources.allocations.get(request["dptr"])
    if allocation is None or allocation.kind != "device":
        raise CallError(INVALID_VALUE)
    return forward(worker, request)


@handles("ipc_get_event_handle")
def ipc_get_event_handle(worker: Worker, request: Request) -> dict[str, bytes]:
    """Name an event for other processes."""
    identifier = ctypes.create_string_buffer(IDENTIFIER_BYTES)
    event = object_of(worker, request["event"], Kind.EVENT)
    worker.driver.call_named("cuIpcGetEventHandle", ctypes.addressof(identifier), event)
    return {"handle": identifier.raw}
