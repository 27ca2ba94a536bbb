# SPDX-License-Identifier: Apache-2.0
"""Physical memory of the virtual memory functions: charged for as long as it exists.

It exists while it has a handle or is mapped somewhere, so the charge ends with the last of these.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import Arguments, drop, install, object_of
from gpu_proxy.handlers.room import with_room
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Mapping, Physical
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

NOT_SUPPORTED = 801
LOCATION_AT = 8  # in the properties of memory and of pools
ON_DEVICE = 1


def check_on_device(data: bytes, offset: int) -> None:
    """Memory of the host would be the driver domain's, and is charged to nobody."""
    if struct.unpack_from("=I", data, offset)[0] != ON_DEVICE:
        raise CallError(NOT_SUPPORTED)


@handles("mem_create")
def mem_create(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """Physical memory, charged before it is made."""
    check_on_device(request["properties"], LOCATION_AT)
    account, amount = worker.account, request["bytes"]
    arguments = Arguments(worker, request)

    def create() -> None:
        key = account.new_key("physical")
        account.take(key, amount)
        try:
            worker.driver.call(request.row, *arguments.words)
        except CallError:
            account.drop(key)
            raise
        (made,) = struct.unpack("=Q", arguments.buffers["allocation"].raw)
        worker.resources.physical[made] = Physical(key)
        install(worker, request["allocation"], Kind.ALLOCATION, made)

    return with_room(worker, create)


@handles("mem_release")
def mem_release(worker: Worker, request: Request) -> Later:
    """One reference less. The memory lives on while it is mapped."""
    handle = request["allocation"]
    item = object_of(worker, handle, Kind.ALLOCATION)
    physical = worker.resources.physical.get(item)
    if physical:
        physical.names -= 1
    alive = physical is not None and physical.names > 0
    if not alive:
        drop(worker, handle)

    def finish() -> dict[str, bytes]:
        worker.driver.call_named("cuMemRelease", item)
        if physical:
            _less(worker, physical, references=1)
        return {"alive": struct.pack("=I", alive)}

    return Later(finish)


@handles("mem_retain_allocation_handle")
def mem_retain_allocation_handle(worker: Worker, request: Request) -> dict[str, bytes]:
    """The memory that is mapped at an address, with one reference more."""
    arguments, physical = Arguments(worker, request), _mapped_at(worker, request["location"])
    if physical:
        with physical.lock:
            physical.references += 1
    try:
        worker.driver.call(request.row, *arguments.words)
    except CallError:
        if physical:
            _less(worker, physical, references=1)
        raise
    (item,) = struct.unpack("=Q", arguments.buffers["allocation"].raw)
    if physical:
        physical.names += 1
        worker.resources.physical[item] = physical
    return arguments.results()


@handles("cuMemMap")
def mem_map(worker: Worker, request: Request) -> None:
    """Map memory into a reserved range."""
    worker.driver.call(request.row, *Arguments(worker, request).words)
    item = object_of(worker, request["allocation"], Kind.ALLOCATION)
    physical = worker.resources.physical.get(item)
    if physical:
        physical.mapped += 1
        worker.resources.mappings[request["dptr"]] = Mapping(request["bytes"], physical)


@handles("cuMemUnmap")
def mem_unmap(worker: Worker, request: Request) -> Later:
    """Undo all mappings in a range."""
    words = Arguments(worker, request).words
    mappings, start = worker.resources.mappings, request["dptr"]
    end = start + request["bytes"]
    inside = {at: mappings.pop(at) for at in list(mappings) if start <= at < end}

    def finish() -> None:
        try:
            worker.driver.call(request.row, *words)
        except CallError:
            mappings.update(inside)
            raise
        for mapping in inside.values():
            _less(worker, mapping.physical, mapped=1)

    return Later(finish)


def _mapped_at(worker: Worker, address: int) -> Physical | None:
    for start, mapping in worker.resources.mappings.items():
        if start <= address < start + mapping.bytes:
            return mapping.physical
    return None


def _less(worker: Worker, physical: Physical, *, references: int = 0, mapped: int = 0) -> None:
    """Give the charge back with the last reference and the last mapping; lanes come here too."""
    known = worker.resources.physical
    with physical.lock:
        physical.references -= references
        physical.mapped -= mapped
        if physical.references or physical.mapped:
            return
    for item in [item for item, other in list(known.items()) if other is physical]:
        del known[item]
    worker.account.drop(physical.key)
