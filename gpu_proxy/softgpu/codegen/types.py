# SPDX-License-Identifier: Apache-2.0
"""PTX types and the LLVM types that hold them."""

from __future__ import annotations

from gpu_proxy.softgpu.ptx.ast import type_bytes

_FLOAT = {"f16": "half", "bf16": "bfloat", "f32": "float", "f64": "double"}
_PACKED = {"f16x2", "bf16x2", "s16x2", "u16x2"}


def llvm_type(ptx: str) -> str:
    """The LLVM type in which values of a PTX type are computed; packed types are plain 32-bit
    words.
    """
    if ptx == "pred":
        return "i1"
    if ptx in _FLOAT:
        return _FLOAT[ptx]
    return f"i{type_bytes(ptx) * 8}"


def storage_type(ptx: str) -> str:
    """The LLVM type of a register: 16-bit floats are kept as integers, since they mix freely
    with .b16.
    """
    if ptx in ("f32", "f64", "pred"):
        return llvm_type(ptx)
    return f"i{type_bytes(ptx) * 8}"


def is_float(ptx: str) -> bool:
    """f16, bf16, f32, f64"""
    return ptx in _FLOAT


def is_packed(ptx: str) -> bool:
    """Two 16-bit values in 32 bits."""
    return ptx in _PACKED


def is_signed(ptx: str) -> bool:
    """s8 to s64"""
    return ptx[0] == "s"


def bits(ptx: str) -> int:
    """Width of a type."""
    return 1 if ptx == "pred" else type_bytes(ptx) * 8
