# SPDX-License-Identifier: Apache-2.0
"""How a parameter of a CUDA driver call is declared in the call table.

Each constructor below returns a `Param` (or a `Type` to be wrapped by one). A `Param` says what the
C prototype shows, in which direction the value travels, and how long it is. Names and sizes are
facts of the public driver interface; sizes are in bytes on x86-64.

On the wire every parameter is one 64-bit word, in C order, followed by the variable data:

    scalar, handle, device pointer, address   the value, zero or sign extended
    structure, array, bytes, string going in  offset << 32 | length of the data in the record
    anything coming out                       the number of bytes that the front end can take

Results come back in the same order, each padded to a multiple of eight bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum


class Wire(IntEnum):
    """What the packing code does with a parameter; the C core has the same numbers."""

    SCALAR = 0  # by value, at most eight bytes
    HANDLE = 1  # by value, looked up in the handle table
    DEVICE_PTR = 2  # by value, checked against the session's allocations
    ADDRESS = 3  # by value, an address that means something only to the application
    STRUCT_IN = 4  # one structure behind a const pointer
    ARRAY_IN = 5  # `count` elements behind a const pointer
    BYTES_IN = 6  # `count` bytes of host memory
    STRING_IN = 7  # terminated string, terminator included
    OUT = 8  # one scalar, device pointer or structure
    OUT_HANDLE = 9  # a handle that the back end already knows (a look-up, not a creation)
    CREATES = 10  # a new handle, chosen by the front end and sent as a value
    ARRAY_OUT = 11  # up to `count` elements
    BYTES_OUT = 12  # `count` bytes of host memory
    STRUCT_BY_VALUE = 13  # a structure larger than eight bytes, passed by value
    INOUT = 14  # one scalar or structure, both ways
    LOCAL = 15  # never crosses: only a hand-written front-end function reads it


class Kind(IntEnum):
    """Kinds of objects that have a handle. Append only: the number is part of every handle."""

    NONE = 0
    CONTEXT = 1
    STREAM = 2
    EVENT = 3
    MODULE = 4
    FUNCTION = 5  # CUfunction and CUkernel: cudart launches either
    LIBRARY = 6
    LINK = 7
    GRAPH = 8
    GRAPH_EXEC = 9
    GRAPH_NODE = 10
    ARRAY = 11
    MIPMAPPED_ARRAY = 12
    TEXTURE = 13  # CUtexObject is a 64-bit number, not a pointer
    SURFACE = 14
    MEMORY_POOL = 15
    ALLOCATION = 16  # CUmemGenericAllocationHandle
    TEXTURE_REFERENCE = 17
    GREEN_CONTEXT = 18
    USER_OBJECT = 19
    EXTERNAL_MEMORY = 20
    EXTERNAL_SEMAPHORE = 21
    DEVICE_RESOURCE = 22
    UPLOAD = 23  # bytes sent ahead of the call that uses them (internal)


@dataclass(frozen=True)
class Type:
    """A C type: its name in prototypes and its size."""

    c_name: str
    size: int
    signed: bool = False
    kind: Kind = Kind.NONE


@dataclass(frozen=True)
class Param:
    """One parameter of one call."""

    type: Type
    wire: Wire
    c_type: str  # as the prototype shows it, e.g. "const void *"
    name: str = ""  # filled in by `call()`
    count: str = ""  # the parameter that holds the length, in elements
    scale: int = 1  # bytes a counted element
    access: str = ""  # "r", "w" or "rw" for device pointers whose extent `count` gives
    null: bool = False  # a null pointer is allowed and means "not wanted" or "not given"
    drops: bool = False  # the handle is dead once the call has been accepted
    parent: str = ""  # the parameter whose object a created handle dies with


def scalar(c_name: str, size: int, signed: bool = False) -> Param:
    """A number passed by value."""
    return Param(Type(c_name, size, signed), Wire.SCALAR, c_name)


def enum(c_name: str) -> Param:
    """An enumeration passed by value: four bytes, sent as an unsigned number."""
    return scalar(c_name, 4)


c_int = scalar("int", 4, signed=True)
c_uint = scalar("unsigned int", 4)
c_uchar = scalar("unsigned char", 1)
c_ushort = scalar("unsigned short", 2)
c_float = scalar("float", 4)
c_longlong = scalar("long long", 8, signed=True)
u32 = scalar("cuuint32_t", 4)
u64 = scalar("cuuint64_t", 8)
c_ulonglong = scalar("unsigned long long", 8)
size = scalar("size_t", 8)
device = scalar("CUdevice", 4, signed=True)

HANDLE_TYPES = {
    Kind.CONTEXT: "CUcontext",
    Kind.STREAM: "CUstream",
    Kind.EVENT: "CUevent",
    Kind.MODULE: "CUmodule",
    Kind.FUNCTION: "CUfunction",
    Kind.LIBRARY: "CUlibrary",
    Kind.LINK: "CUlinkState",
    Kind.GRAPH: "CUgraph",
    Kind.GRAPH_EXEC: "CUgraphExec",
    Kind.GRAPH_NODE: "CUgraphNode",
    Kind.ARRAY: "CUarray",
    Kind.MIPMAPPED_ARRAY: "CUmipmappedArray",
    Kind.TEXTURE: "CUtexObject",
    Kind.SURFACE: "CUsurfObject",
    Kind.MEMORY_POOL: "CUmemoryPool",
    Kind.ALLOCATION: "CUmemGenericAllocationHandle",
    Kind.TEXTURE_REFERENCE: "CUtexref",
    Kind.GREEN_CONTEXT: "CUgreenCtx",
    Kind.USER_OBJECT: "CUuserObject",
    Kind.EXTERNAL_MEMORY: "CUexternalMemory",
    Kind.EXTERNAL_SEMAPHORE: "CUexternalSemaphore",
    Kind.DEVICE_RESOURCE: "CUdevResourceDesc",
    Kind.UPLOAD: "cuuint64_t",
}


def handle(kind: Kind, c_name: str = "", null: bool = False) -> Param:
    """A handle passed by value. Streams accept CUDA's own 0, 1 and 2 without `null`."""
    c_type = c_name or HANDLE_TYPES[kind]
    return Param(Type(c_type, 8, kind=kind), Wire.HANDLE, c_type, null=null)


def drops(param: Param) -> Param:
    """A handle that the call ends."""
    return replace(param, drops=True)


def creates(param: Param, parent: str = "") -> Param:
    """An out-parameter for a new object; the front end chooses its handle."""
    return replace(param, wire=Wire.CREATES, c_type=_pointer(param.c_type), parent=parent)


_DEVICE_PTR = Type("CUdeviceptr", 8)
device_ptr = Param(_DEVICE_PTR, Wire.DEVICE_PTR, "CUdeviceptr")


def device_range(count: str, access: str, scale: int = 1) -> Param:
    """A device pointer that the call reads or writes for `count` elements of `scale` bytes."""
    return replace(device_ptr, count=count, access=access, scale=scale)


def address(c_type: str) -> Param:
    """A pointer that has a meaning only in the application: callbacks and their data."""
    return Param(Type(c_type, 8), Wire.ADDRESS, c_type)


def struct(c_name: str, size_: int) -> Type:
    """A plain structure; `size_` is checked against the compiler's sizeof at build time."""
    return Type(c_name, size_)


def struct_in(type_: Type, null: bool = False) -> Param:
    """One structure behind a const pointer."""
    return Param(type_, Wire.STRUCT_IN, f"const {type_.c_name} *", null=null)


def struct_by_value(type_: Type) -> Param:
    """A structure of more than eight bytes passed by value."""
    return Param(type_, Wire.STRUCT_BY_VALUE, type_.c_name)


def out(inner: Param | Type, null: bool = False) -> Param:
    """One value written by the call. A handle here is looked up, not created."""
    type_ = inner if isinstance(inner, Type) else inner.type
    c_type = inner.c_name if isinstance(inner, Type) else inner.c_type
    wire = Wire.OUT_HANDLE if type_.kind is not Kind.NONE else Wire.OUT
    return Param(type_, wire, _pointer(c_type), null=null)


def inout(inner: Param | Type, null: bool = False) -> Param:
    """One value read and then overwritten by the call."""
    type_ = inner if isinstance(inner, Type) else inner.type
    c_type = inner.c_name if isinstance(inner, Type) else inner.c_type
    return Param(type_, Wire.INOUT, _pointer(c_type), null=null)


def array_in(inner: Param | Type, count: str, null: bool = False) -> Param:
    """`count` elements read by the call."""
    type_ = inner if isinstance(inner, Type) else inner.type
    name = inner.c_name if isinstance(inner, Type) else inner.c_type
    return Param(type_, Wire.ARRAY_IN, f"const {name} *", count=count, scale=type_.size, null=null)


def array_out(inner: Param | Type, count: str, null: bool = False) -> Param:
    """At most `count` elements written by the call; `count` may itself be an inout parameter."""
    type_ = inner if isinstance(inner, Type) else inner.type
    name = inner.c_name if isinstance(inner, Type) else inner.c_type
    return Param(type_, Wire.ARRAY_OUT, _pointer(name), count=count, scale=type_.size, null=null)


_BYTE = Type("void", 1)


def bytes_in(count: str) -> Param:
    """Host memory read by the call."""
    return Param(_BYTE, Wire.BYTES_IN, "const void *", count=count)


def bytes_out(count: str) -> Param:
    """Host memory written by the call."""
    return Param(_BYTE, Wire.BYTES_OUT, "void *", count=count)


string_in = Param(Type("char", 1), Wire.STRING_IN, "const char *")


def string_out(count: str) -> Param:
    """A terminated string of at most `count` bytes."""
    return Param(Type("char", 1), Wire.BYTES_OUT, "char *", count=count)


def local(c_type: str) -> Param:
    """A parameter of a call whose front-end side is written by hand; `c_type` is its C type."""
    return Param(Type(c_type, 8), Wire.LOCAL, c_type)


def spelled(param: Param, c_type: str) -> Param:
    """The same parameter with another C spelling, where the vendor's prototype has one."""
    return replace(param, c_type=c_type)


def _pointer(c_type: str) -> str:
    return f"{c_type}*" if c_type.endswith("*") else f"{c_type} *"
