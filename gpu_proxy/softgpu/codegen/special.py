# SPDX-License-Identifier: Apache-2.0
"""Special registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_proxy.softgpu.codegen.emitter import Value, const
from gpu_proxy.softgpu.errors import UnsupportedError

if TYPE_CHECKING:
    from gpu_proxy.softgpu.codegen.lowering import Lowering

_VECTORS = ("tid", "ntid", "ctaid", "nctaid")
# What cooperative groups keep in the first bytes of shared memory, when a module asks for it.
RESERVED_SHARED_BYTES = 1024
_RESERVED = {
    "reserved_smem_offset_begin": 0,
    "reserved_smem_offset_end": RESERVED_SHARED_BYTES,
    "reserved_smem_offset_cap": RESERVED_SHARED_BYTES,
    "reserved_smem_offset_0": 0,
    "reserved_smem_offset_1": 0,
}
# One block is one cluster, as on a GPU without clusters.
_CONSTANTS = {
    "smid": 0,
    "nsmid": 1,
    "clusterid.x": 0,
    "cluster_ctarank": 0,
    "cluster_nctarank": 1,
    "is_explicit_cluster": 0,
    "aggr_smem_size": 0,
}


def linear_tid(fn: Lowering) -> Value:
    """The thread's number in its block."""
    e = fn.emitter
    row = e.binary(
        "add", thread_index(fn, 1), e.binary("mul", thread_index(fn, 2), fn.field("ntid", "i32", 1))
    )
    return e.binary("add", thread_index(fn, 0), e.binary("mul", row, fn.field("ntid", "i32", 0)))


def thread_index(fn: Lowering, axis: int) -> Value:
    """%tid: an argument of kernels, a field for device functions."""
    if fn.function.is_entry:
        return Value("i32", f"%tid{axis}")
    return fn.field("tid", "i32", axis, constant=False)


def lane(fn: Lowering) -> Value:
    """%laneid"""
    return fn.emitter.binary_const("and", linear_tid(fn), 31)


def _lanemask(fn: Lowering, which: str) -> Value:
    e = fn.emitter
    bit = e.binary("shl", const("i32", 1), lane(fn))
    below = e.binary_const("sub", bit, 1)
    if which == "eq":
        return bit
    if which == "lt":
        return below
    if which == "le":
        return e.binary("or", below, bit)
    inverted = e.binary("or", below, bit) if which == "gt" else below
    return e.binary("xor", inverted, const("i32", -1))


def _threads(fn: Lowering) -> Value:
    e = fn.emitter
    x, y, z = (fn.field("ntid", "i32", axis) for axis in range(3))
    return e.binary("mul", e.binary("mul", x, y), z)


def _envreg(fn: Lowering, number: int) -> Value:
    """%envreg1 and 2 are the halves of the grid workspace's address, as cooperative groups read
    them.
    """
    if number not in (1, 2):
        return const("i32", 0)
    workspace = fn.field("workspace")
    if number == 1:
        workspace = fn.emitter.binary_const("lshr", workspace, 32)
    return fn.emitter.resize(workspace, 32)


def read(fn: Lowering, name: str) -> Value:
    """The value of %name."""
    e = fn.emitter
    base, _, axis = name.partition(".")
    if base in _VECTORS and axis in ("x", "y", "z"):
        index = "xyz".index(axis)
        return thread_index(fn, index) if base == "tid" else fn.field(base, "i32", index)
    if base in _VECTORS and axis == "w":
        return const("i32", 0)
    if name == "laneid":
        return lane(fn)
    if name == "warpid":
        return e.binary_const("lshr", linear_tid(fn), 5)
    if name == "nwarpid":
        return e.binary_const("lshr", e.binary_const("add", _threads(fn), 31), 5)
    if base.startswith("lanemask_") and base[9:] in ("eq", "lt", "le", "gt", "ge"):
        return _lanemask(fn, base[9:])
    if name in ("clock64", "clock", "clock_hi"):
        return _clock(fn, name)
    if name in ("globaltimer", "globaltimer_lo", "globaltimer_hi"):
        timer = e.call("sg_op_globaltimer", "i64")
        return (
            timer
            if name == "globaltimer"
            else e.resize(e.binary_const("lshr", timer, 32 if name.endswith("hi") else 0), 32)
        )
    return _sizes(fn, name)


def _clock(fn: Lowering, name: str) -> Value:
    e = fn.emitter
    ticks = e.intrinsic("llvm.readcyclecounter", "i64")
    if name == "clock64":
        return ticks
    return e.resize(e.binary_const("lshr", ticks, 32 if name == "clock_hi" else 0), 32)


def _sizes(fn: Lowering, name: str) -> Value:
    if name == "dynamic_smem_size":
        return fn.field("dynamic_bytes", "i32")
    if name == "total_smem_size":
        return fn.emitter.resize(fn.field("shared_bytes"), 32)
    if name == "gridid":
        return fn.field("grid_id")
    if name.startswith("envreg") and name[6:].isdecimal():
        return _envreg(fn, int(name[6:]))
    if name in _RESERVED:
        return const("i32", _RESERVED[name])
    if name in _CONSTANTS:
        return const("i32", _CONSTANTS[name])
    raise UnsupportedError(f"special register '%{name}'")
