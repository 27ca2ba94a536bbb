# SPDX-License-Identifier: Apache-2.0
"""The linker: inputs come as uploads, the image goes back in pieces, logs on request."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import drop, install, object_of
from gpu_proxy.handlers.modules import JitOptions, take_with_options
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
INVALID_HANDLE = 400
LOG_MAX_BYTES = 256 << 10
LINKED_MAX_BYTES = 1 << 31


@dataclass
class Link:
    """A link in progress. The driver writes to the log buffers for as long as it lives."""

    object: int
    options: JitOptions
    image: int = 0
    image_bytes: int = 0
    host_bytes: int = 0  # of inputs and image, which the driver keeps in host memory


def forget_link(worker: Worker, handle: int) -> None:
    """A link is gone, and what it kept."""
    link = worker.resources.links.pop(handle, None)
    if link and link.host_bytes:
        worker.channel.release("host", link.host_bytes)


def _link(worker: Worker, request: Request) -> Link:
    link = worker.resources.links.get(request["link"])
    if not isinstance(link, Link):
        raise CallError(INVALID_HANDLE)
    return link


@handles("link_create")
def link_create(worker: Worker, request: Request) -> None:
    """Begin a link."""
    if max(request["info_bytes"], request["error_bytes"]) > LOG_MAX_BYTES:
        raise CallError(INVALID_VALUE)
    options = JitOptions(request)
    made = ctypes.c_uint64()
    worker.driver.call_named("cuLinkCreate_v2", *options.arguments, ctypes.addressof(made))
    install(worker, request["link"], Kind.LINK, made.value, request.context)
    worker.resources.links[request["link"]] = Link(made.value, options)


@handles("link_add")
def link_add(worker: Worker, request: Request) -> Later:
    """Add an input; PTX is compiled here, so it runs on a lane."""
    link = _link(worker, request)
    upload, options = take_with_options(worker, request, logs=False)
    kind, name = request["kind"], ctypes.create_string_buffer(request["name"])

    def finish() -> None:
        with upload.image() as data:
            worker.driver.call_named(
                "cuLinkAddData_v2",
                link.object,
                kind,
                ctypes.addressof(data),
                len(data) - 1,
                ctypes.addressof(name),
                *options.arguments,
            )
            link.host_bytes += upload.keep()

    return Later(finish)


@handles("link_complete")
def link_complete(worker: Worker, request: Request) -> Later:
    """Link. The image belongs to the driver until the link is destroyed."""
    link = _link(worker, request)

    def finish() -> dict[str, bytes]:
        image, size = ctypes.c_uint64(), ctypes.c_uint64()
        where = ctypes.addressof(image), ctypes.addressof(size)
        worker.driver.call_named("cuLinkComplete", link.object, *where)
        if size.value > LINKED_MAX_BYTES:
            raise CallError(INVALID_VALUE)
        if not worker.channel.charge("host", size.value):
            raise CallError(OUT_OF_MEMORY)
        link.host_bytes += size.value
        link.image, link.image_bytes = image.value, size.value
        return {"bytes": struct.pack("=Q", size.value)}

    return Later(finish)


@handles("link_image")
def link_image(worker: Worker, request: Request) -> dict[str, bytes]:
    """A piece of the linked image."""
    link, offset, count = _link(worker, request), request["offset"], request["count"]
    if not link.image or offset > link.image_bytes or count > link.image_bytes - offset:
        raise CallError(INVALID_VALUE)
    return {"data": ctypes.string_at(link.image + offset, count)}


@handles("link_log")
def link_log(worker: Worker, request: Request) -> dict[str, bytes]:
    """What the linker has said so far."""
    return _link(worker, request).options.results()


@handles("cuLinkDestroy")
def link_destroy(worker: Worker, request: Request) -> None:
    """End a link, and its image with it."""
    item = object_of(worker, request["link"], Kind.LINK)
    drop(worker, request["link"])
    try:
        worker.driver.call_named("cuLinkDestroy", item)
    finally:
        forget_link(worker, request["link"])
