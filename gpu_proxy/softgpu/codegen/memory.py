# SPDX-License-Identifier: Apache-2.0
"""Checked memory access: ld, st and what looks like them.

Every access is checked before it happens. The check is one comparison: the offset from the start
of the region is
rotated right by log2 of the size, so that misaligned offsets become huge, and compared with the
number of elements
in the region.
"""

from __future__ import annotations

from gpu_proxy.softgpu.codegen import types
from gpu_proxy.softgpu.codegen.emitter import Value, const
from gpu_proxy.softgpu.codegen.grouping import Group
from gpu_proxy.softgpu.codegen.layout import ACCESS_GENERIC, ACCESS_WRITE
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.codegen.slots import layout
from gpu_proxy.softgpu.errors import PtxError, UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Addr, Instr, Operand, Reg, Sym, Vec

SPACES = (
    "global",
    "shared",
    "shared::cta",
    "local",
    "const",
    "param",
    "param::entry",
    "param::func",
)
_CACHE = (
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "weak",
    "cta",
    "gpu",
    "sys",
    "cluster",
    "unified",
)
_SLOW = "cold nounwind memory(inaccessiblemem: readwrite, argmem: read)"
_LIKELY = ", !prof !1"


def ignore_hints(mods: Mods) -> None:
    """Cache hints and scopes: a CPU's caches are coherent for all threads."""
    hints = [m for m in mods.left if m.startswith(("L1::", "L2::"))]
    mods.ignore(*_CACHE, *hints)


def address(fn: Lowering, operand: Operand) -> Value:
    """[base + offset] as 64 bits in its state space."""
    if not isinstance(operand, Addr):
        raise PtxError(f"operand in {fn.where()} that is no address")
    base, e = operand.base, fn.emitter
    if isinstance(base, Reg):
        bits = types.bits(fn.register_type(base))
        start = e.resize(fn.read(base, f"u{bits}"), 64)
    else:
        start = fn.read(base, "u64")
    return e.binary_const("add", start, operand.offset) if operand.offset else start


def group_check(fn: Lowering, offset: Value, limit: Value, span: int, align: int) -> Value:
    """Whether `span` bytes from an aligned `offset` lie in a region of `limit` bytes."""
    e = fn.emitter
    starts = e.intrinsic("llvm.usub.sat.i64", "i64", limit, const("i64", span - align))
    return element_check(fn, offset, starts, align)


def element_check(fn: Lowering, offset: Value, limit: Value, size: int) -> Value:
    """Whether an aligned element of `size` bytes lies at `offset` of a region of `limit` bytes."""
    e = fn.emitter
    shift = size.bit_length() - 1
    if not shift:
        return e.icmp("ult", offset, limit)
    rotated = e.intrinsic("llvm.fshr.i64", "i64", offset, offset, const("i64", shift))
    return e.icmp("ult", rotated, e.binary_const("lshr", limit, shift))


def pointer(fn: Lowering, space: str, where: Value, size: int, *, write: bool) -> str:
    """A host pointer for a checked access of `size` bytes, a power of two."""
    kind = space.split("::", maxsplit=1)[0]
    if kind == "param":
        return _param_pointer(fn, where, size)
    _check(fn, kind, where, [(0, size, write)], span=size, align=size)
    return _unchecked(fn, kind, where)


def _grouped_pointer(fn: Lowering, i: Instr, group: Group, operand: Operand) -> str:
    """The pointer of one of several accesses; the first of them checks for all."""
    assert isinstance(operand, Addr)
    base = address(fn, Addr(operand.base))
    if i is group.members[0].instr:
        low = group.low
        start = fn.emitter.binary_const("add", base, low)
        accesses = [(a.offset - low, a.size, a.write) for a in group.members]
        _check(fn, group.space, start, accesses, span=group.span, align=group.align)
    where = fn.emitter.binary_const("add", base, operand.offset)
    return _unchecked(fn, group.space, where)


def _unchecked(fn: Lowering, kind: str, where: Value) -> str:
    e = fn.emitter
    if kind in ("shared", "local"):
        return e.op("ptr", f"getelementptr i8, {fn.field(f'{kind}_base', 'ptr')}, {where}").text
    return e.convert("inttoptr", where, "ptr").text


def _check(
    fn: Lowering,
    kind: str,
    start: Value,
    accesses: list[tuple[int, int, bool]],
    *,
    span: int,
    align: int,
) -> None:
    """Branch around the slow path, which looks at each access by itself."""
    e = fn.emitter
    window = kind in ("shared", "local")
    offset = start if window else e.binary("sub", start, fn.field("arena_base"))
    fine = group_check(
        fn, offset, fn.window_bytes(kind) if window else fn.field("arena_bytes"), span, align
    )
    slow, fast = e.label("slow"), e.label("fast")
    e.branch(fine, fast, slow, _LIKELY)
    e.block(slow)
    for delta, size, write in accesses:
        where = e.binary_const("add", start, delta)
        if window:
            number = const("i32", 1 if kind == "shared" else 2)
            fn.runtime(
                "sg_op_window",
                "void",
                number,
                where,
                const("i32", size),
                const("i32", int(write)),
                attributes=_SLOW,
            )
        else:
            flags = (ACCESS_WRITE if write else 0) | (ACCESS_GENERIC if kind == "generic" else 0)
            fn.runtime(
                "sg_op_access",
                "void",
                where,
                const("i32", size),
                const("i32", flags),
                attributes=_SLOW,
            )
    if window:
        _fail_window(fn, kind, start, span)
    e.block(fast)


def _fail_window(fn: Lowering, kind: str, start: Value, span: int) -> None:
    """A check of a window cannot fail as a whole when each access passes: this only tells LLVM
    so.
    """
    number = const("i32", {"shared": 1, "local": 2, "param": 3}[kind])
    fn.runtime(
        "sg_op_bad_window",
        "void",
        number,
        start,
        const("i32", span),
        const("i32", 0),
        attributes="noreturn cold nounwind",
    )
    fn.emitter.end("unreachable")


def _param_pointer(fn: Lowering, where: Value, size: int) -> str:
    """A parameter at an address that is only known at run time."""
    e = fn.emitter
    limit = const("i64", layout(fn.function.params).bytes)
    inside = element_check(fn, where, limit, size)
    bad, fast = e.label("bad"), e.label("fast")
    e.branch(inside, fast, bad, _LIKELY)
    e.block(bad)
    _fail_window(fn, "param", where, size)
    e.block(fast)
    return e.op("ptr", f"getelementptr i8, {fn.param_base()}, {where}").text


def _named_param(fn: Lowering, operand: Operand, size: int) -> str | None:
    """The pointer for [name + constant], checked now."""
    if not isinstance(operand, Addr) or not isinstance(operand.base, Sym):
        return None
    name, offset = operand.base.name, operand.base.offset + operand.offset
    found = fn.param_storage(name)
    if found is None:
        raise PtxError(f"unknown parameter '{name}' in {fn.where()}")
    base, start, count = found
    if offset < 0 or offset + size > count:
        raise PtxError(f"access outside parameter '{name}' in {fn.where()}")
    return fn.emitter.op("ptr", f"getelementptr i8, {base}, i64 {start + offset}").text


def _resolve(
    fn: Lowering, i: Instr, mods: Mods, operand: Operand, size: int, *, write: bool
) -> tuple[str, str]:
    """State space and pointer of a load or store."""
    space = mods.choice(*SPACES) or "generic"
    if space.startswith("param"):
        named = _named_param(fn, operand, size)
        if named is not None:
            return space, named
        if write:
            raise UnsupportedError("a store to a parameter at a computed address")
    group = fn.groups.get(i)
    if group is not None:
        return space, _grouped_pointer(fn, i, group, operand)
    return space, pointer(fn, space, address(fn, operand), size, write=write)


def _elements(operand: Operand, count: int, line: int) -> tuple[Operand, ...]:
    if count == 1:
        return (operand,)
    if not isinstance(operand, Vec) or len(operand.items) != count:
        raise PtxError(f"expected {count} registers", line)
    return operand.items


def _vector(mods: Mods) -> int:
    return int((mods.choice("v2", "v4", "v8") or "v1")[1:])


@instruction("ld", "ldu")
def load(fn: Lowering, i: Instr, mods: Mods) -> None:
    """ld in all its forms"""
    ignore_hints(mods)
    order = _ordering(mods, "acquire")
    read_only = mods.flag("nc")
    count, ptx = _vector(mods), mods.type()
    size = types.bits(ptx) // 8
    space, base = _resolve(fn, i, mods, i.args[1], size * count, write=False)
    read_only |= space in ("const", "param::entry") or (space == "param" and fn.function.is_entry)
    if space.startswith(("shared", "local", "param")):
        order = "volatile" if order else ""
    values = []
    for k in range(count):
        values.append(_load_one(fn, _at(fn, base, k * size), ptx, order, read_only))
    for operand, value in zip(_elements(i.args[0], count, i.line), values, strict=True):
        fn.write(operand, value, types.is_signed(ptx))


def _at(fn: Lowering, base: str, offset: int) -> str:
    return (
        fn.emitter.op("ptr", f"getelementptr i8, ptr {base}, i64 {offset}").text if offset else base
    )


def _ordering(mods: Mods, strong: str) -> str:
    """Empty for plain accesses, else the LLVM ordering."""
    if mods.flag(strong):
        return strong
    return "monotonic" if mods.choice("volatile", "relaxed", "mmio") else ""


def _load_one(fn: Lowering, where: str, ptx: str, order: str, read_only: bool) -> Value:
    e = fn.emitter
    bits = types.bits(ptx)
    kind = f"i{bits}" if order or bits == 16 else types.llvm_type(ptx)
    if order == "volatile":
        return e.op(kind, f"load volatile {kind}, ptr {where}, align {bits // 8}")
    if order:
        return e.op(kind, f"load atomic volatile {kind}, ptr {where} {order}, align {bits // 8}")
    suffix = ", !invariant.load !0" if read_only else ""
    return e.op(kind, f"load {kind}, ptr {where}, align {bits // 8}{suffix}")


@instruction("st")
def store(fn: Lowering, i: Instr, mods: Mods) -> None:
    """st in all its forms"""
    ignore_hints(mods)
    order = _ordering(mods, "release")
    count, ptx = _vector(mods), mods.type()
    bits = types.bits(ptx)
    kind = f"b{bits}" if order or bits == 16 else ptx
    values = [fn.read(x, kind) for x in _elements(i.args[1], count, i.line)]
    space, base = _resolve(fn, i, mods, i.args[0], bits // 8 * count, write=True)
    if space.startswith(("shared", "local", "param")):
        order = "volatile" if order else ""
    for k, value in enumerate(values):
        where = _at(fn, base, k * (bits // 8))
        if order in ("", "volatile"):
            fn.emitter.line(f"store {order} {value}, ptr {where}, align {bits // 8}")
        else:
            fn.emitter.line(
                f"store atomic volatile {value}, ptr {where} {order}, align {bits // 8}"
            )


@instruction("prefetch", "prefetchu", "applypriority", "discard")
def hint(_fn: Lowering, i: Instr, mods: Mods) -> None:
    """Hints need nothing; the address is not even looked at, as on a GPU."""
    if i.op == "discard":
        raise UnsupportedError("")
    mods.ignore(*mods.left)


@instruction("isspacep")
def isspacep(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Whether a generic address lies in a window."""
    e = fn.emitter
    space = mods.one_of(
        "global", "shared", "shared::cta", "local", "const", "param", "param::entry"
    )
    where = fn.read(i.args[1], "u64")
    in_shared, in_local, in_param = (
        e.icmp("ult", e.binary("sub", where, fn.field(base)), fn.field(size))
        for base, size in (
            ("shared_base", "shared_bytes"),
            ("local_base", "local_bytes"),
            ("params", "param_bytes"),
        )
    )
    kind = space.split("::")[0]
    if kind == "global":
        anywhere = e.binary("or", e.binary("or", in_shared, in_local), in_param)
        result = fn.invert(anywhere)
    elif kind == "const":
        result = const("i1", 0)
    else:
        result = {"shared": in_shared, "local": in_local, "param": in_param}[kind]
    fn.write(i.args[0], result)
