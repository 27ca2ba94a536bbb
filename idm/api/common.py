# SPDX-License-Identifier: Apache-2.0
"""The parameters that many rows share: every kind of handle, and what graph nodes wait for."""

from __future__ import annotations

from dataclasses import replace

from .types import Kind, Param, array_in, handle

CONTEXT = handle(Kind.CONTEXT)
STREAM = handle(Kind.STREAM)
EVENT = handle(Kind.EVENT)
MODULE = handle(Kind.MODULE)
FUNCTION = handle(Kind.FUNCTION)
KERNEL = handle(Kind.FUNCTION, "CUkernel")
LIBRARY = handle(Kind.LIBRARY)
LINK = handle(Kind.LINK)
GRAPH = handle(Kind.GRAPH)
GRAPH_EXEC = handle(Kind.GRAPH_EXEC)
GRAPH_NODE = handle(Kind.GRAPH_NODE)
ARRAY = handle(Kind.ARRAY)
MIPMAPPED_ARRAY = handle(Kind.MIPMAPPED_ARRAY)
TEXTURE = handle(Kind.TEXTURE)
SURFACE = handle(Kind.SURFACE)
MEMORY_POOL = handle(Kind.MEMORY_POOL)
ALLOCATION = handle(Kind.ALLOCATION)
TEXTURE_REFERENCE = handle(Kind.TEXTURE_REFERENCE)
GREEN_CONTEXT = handle(Kind.GREEN_CONTEXT)
USER_OBJECT = handle(Kind.USER_OBJECT)
DEVICE_RESOURCE = handle(Kind.DEVICE_RESOURCE)

DEPENDENCIES = array_in(GRAPH_NODE, "count", null=True)


def optional(param: Param) -> Param:
    """The same parameter where null is allowed."""
    return replace(param, null=True)
