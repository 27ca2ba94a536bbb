# SPDX-License-Identifier: Apache-2.0
"""libvgpu's prototypes for cffi: an independent parse, through which tests call the library."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

from cffi import FFI

from idm.api.table import Call, Mode, Table, load
from idm.api.types import HANDLE_TYPES, Param
from idm.gen.prototypes import declaration

_NUMBERS = {
    "cuuint32_t": "uint32_t",
    "cuuint64_t": "uint64_t",
    "CUdeviceptr": "unsigned long long",
    "CUdevice": "int",
    "CUresult": "int",
}
_PLAIN = {
    "void", "char", "int", "float", "size_t", "unsigned", "unsigned int", "unsigned char",
    "unsigned short", "long long", "unsigned long long", "double", "short",
}  # fmt: skip


def library_path() -> Path:
    """Where the installed package keeps libvgpu.so."""
    with resources.as_file(resources.files("libvgpu") / "_lib" / "libvgpu.so") as path:
        return Path(path)


def _base(c_type: str) -> str:
    return re.sub(r"\bconst\b|\*", "", c_type).strip()


def _typedef(param: Param, name: str) -> str:
    """What a type name stands for: a number, an opaque pointer, or a structure of known size."""
    if name in _NUMBERS:
        return f"typedef {_NUMBERS[name]} {name};"
    if name in HANDLE_TYPES.values():
        kind = "unsigned long long" if name.endswith(("Object", "AllocationHandle")) else "void *"
        return f"typedef {kind} {name};"
    if param.c_type == name and param.type.size == 4:
        return f"typedef int {name};"
    if param.c_type == name and param.type.size == 8:
        return f"typedef unsigned long long {name};"
    if param.type.c_name == name:
        if param.type.size == 4:
            return f"typedef int {name};"
        return f"typedef struct {{ unsigned char bytes[{param.type.size}]; }} {name};"
    return f"typedef struct opaque_{name} {name};"


def _vagueness(param: Param) -> int:
    """How little a parameter says of its type: by value, behind a pointer, or opaque."""
    if param.c_type == _base(param.c_type):
        return 0
    return 1 if param.type.c_name == _base(param.c_type) else 2


def _shown(row: Call) -> str:
    return ", ".join(declaration(p.c_type, p.name) for p in row.params) or "void"


def cdef(table: Table) -> str:
    """Declarations of every exported function that is not refused."""
    rows = [r for r in table.calls if r.mode is not Mode.REFUSED and r.symbol.startswith("cu")]
    typedefs = {"CUresult": "typedef int CUresult;"}
    shown = sorted((p for row in rows for p in row.params), key=_vagueness)
    for param in shown:
        name = _base(param.c_type)
        if name not in _PLAIN and not name.startswith("struct"):
            typedefs.setdefault(name, _typedef(param, name))
    prototypes = [f"CUresult {symbol}({_shown(row)});" for row in rows for symbol in row.symbols]
    refused = [
        f"CUresult {symbol}(void);"
        for row in table.calls
        if row.mode is Mode.REFUSED
        for symbol in row.symbols
    ]
    return "\n".join([*typedefs.values(), *prototypes, *refused])


def open_library(path: Path | None = None) -> tuple[FFI, Any]:
    """cffi's view of the library: the FFI and the opened library."""
    ffi = FFI()
    ffi.cdef(cdef(load()))
    return ffi, ffi.dlopen(str(path or library_path()))
