# SPDX-License-Identifier: Apache-2.0
"""Branches, calls, moves, and leaving."""

from __future__ import annotations

from gpu_proxy.softgpu.codegen import types
from gpu_proxy.softgpu.codegen.emitter import Value, const
from gpu_proxy.softgpu.codegen.layout import FUNCTION_TOKEN_BASE, FUNCTION_TOKEN_SHIFT
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.codegen.slots import Slots, layout
from gpu_proxy.softgpu.errors import PtxError, UnsupportedError
from gpu_proxy.softgpu.ptx.ast import (
    Group,
    Instr,
    Operand,
    Prototype,
    Reg,
    Sink,
    Sym,
    Variable,
    Vec,
)

# Device functions that the runtime provides, with the bytes of their parameters and results.
RUNTIME_FUNCTIONS = {
    "vprintf": ("sg_op_vprintf", 16, 4),
    "__assertfail": ("sg_op_assertfail", 40, 0),
}
_NORETURN = "noreturn nounwind cold"


@instruction("mov")
def mov(fn: Lowering, i: Instr, mods: Mods) -> None:
    """mov, with packing and unpacking of vectors"""
    ptx = mods.type()
    target, source = i.args
    if isinstance(source, Vec):
        fn.write(target, _pack(fn, source, types.bits(ptx)))
    elif isinstance(target, Vec):
        _unpack(fn, target, fn.read(source, f"b{types.bits(ptx)}"))
    else:
        fn.write(target, fn.read(source, ptx))


def _pack(fn: Lowering, source: Vec, bits: int) -> Value:
    e = fn.emitter
    part = bits // len(source.items)
    result = const(f"i{bits}", 0)
    for k, item in enumerate(source.items):
        value = e.resize(fn.read(item, f"b{part}"), bits)
        result = e.binary("or", result, e.binary_const("shl", value, k * part))
    return result


def _unpack(fn: Lowering, target: Vec, value: Value) -> None:
    e = fn.emitter
    part = int(value.type[1:]) // len(target.items)
    for k, item in enumerate(target.items):
        if not isinstance(item, Sink):
            fn.write(item, e.resize(e.binary_const("lshr", value, k * part), part))


@instruction("bra")
def bra(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Branch; .uni says nothing that a CPU thread needs."""
    mods.flag("uni")
    target = _label(fn, i.args[0], i.line)
    if i in fn.spinning:
        fn.wait("spin", "")
    if i.guard is None:
        fn.emitter.jump(target)
        return
    after = fn.emitter.label("next")
    fn.emitter.branch(fn.guard(i), target, after)
    fn.emitter.block(after)


def _label(fn: Lowering, operand: Operand, line: int) -> str:
    if not isinstance(operand, Sym) or operand.name not in fn.labels:
        raise PtxError(f"branch in {fn.where()} to something that is no label", line)
    return operand.name


@instruction("brx")
def brx(fn: Lowering, i: Instr, mods: Mods) -> None:
    """brx.idx index, table"""
    mods.one_of("idx")
    mods.flag("uni")
    table = i.args[1]
    assert isinstance(table, Sym)
    index = fn.read(i.args[0], "u32")
    beyond = fn.emitter.label("beyond")
    cases = " ".join(
        f'i32 {n}, label %"{_label(fn, Sym(name), i.line)}"'
        for n, name in enumerate(fn.function.tables[table.name])
    )
    fn.emitter.end(f'switch {index}, label %"{beyond}" [ {cases} ]')
    fn.emitter.block(beyond)
    _illegal(fn)


def _illegal(fn: Lowering) -> None:
    fn.runtime("sg_op_illegal", "void", attributes=_NORETURN)
    fn.emitter.end("unreachable")


@instruction("ret")
def ret(fn: Lowering, _i: Instr, mods: Mods) -> None:
    """Return; from a kernel, the end of the thread."""
    mods.flag("uni")
    fn.leave()


@instruction("exit")
def exit_thread(fn: Lowering, _i: Instr, _mods: Mods) -> None:
    """End the thread."""
    if fn.function.is_entry:
        fn.leave()
        return
    fn.runtime("sg_op_exit", "void", attributes=_NORETURN)
    fn.emitter.end("unreachable")


@instruction("trap")
def trap(fn: Lowering, _i: Instr, _mods: Mods) -> None:
    """Stop the grid with an error."""
    fn.runtime("sg_op_trap", "void", attributes=_NORETURN)
    fn.emitter.end("unreachable")


@instruction("brkpt", "pmevent", "griddepcontrol", "setmaxnreg")
def nothing(_fn: Lowering, _i: Instr, mods: Mods) -> None:
    """Debuggers, counters and launch hints: nothing to do."""
    mods.ignore(*mods.left)


@instruction("call")
def call(fn: Lowering, i: Instr, mods: Mods) -> None:
    """call (results), target, (arguments), prototype"""
    mods.flag("uni")
    args = list(i.args)
    results = _group(args)
    target = args.pop(0)
    arguments = _group(args)
    if isinstance(target, Sym):
        _call_named(fn, i, fn.program.module.resolve(target.name), results, arguments)
    else:
        assert isinstance(args[0], Sym)
        _call_pointer(fn, i, target, args[0].name, results=results, arguments=arguments)


def _group(args: list[Operand]) -> tuple[Operand, ...]:
    """Take a parenthesised list if one comes next."""
    if args and isinstance(args[0], Group):
        items = args[0].items
        del args[0]
        return items
    return ()


def _call_named(
    fn: Lowering, i: Instr, name: str, results: tuple[Operand, ...], arguments: tuple[Operand, ...]
) -> None:
    function = fn.program.module.functions.get(name)
    if function is None:
        raise PtxError(f"call of unknown function '{name}' in {fn.where()}", i.line)
    ins, outs = layout(function.params), layout(function.returns)
    block, result = _argument_block(fn, function.params, ins, arguments), _block(fn, outs)
    if function.span is not None:
        fn.emitter.line(f'call void @"f.{name}"(ptr %ctx, ptr {block}, ptr {result})')
    elif name in RUNTIME_FUNCTIONS:
        runtime, in_bytes, out_bytes = RUNTIME_FUNCTIONS[name]
        if (ins.bytes, outs.bytes) != (in_bytes, out_bytes):
            raise PtxError(f"'{name}' is declared with other parameters", i.line)
        fn.runtime(runtime, "void", Value("ptr", block), Value("ptr", result))
    else:
        raise UnsupportedError(f"external device function '{name}'")
    _deliver(fn, function.returns, outs, result, results)


def _call_pointer(
    fn: Lowering,
    i: Instr,
    target: Operand,
    name: str,
    *,
    results: tuple[Operand, ...],
    arguments: tuple[Operand, ...],
) -> None:
    """A call through a token: it must name a function of this module with the same sizes."""
    e = fn.emitter
    prototype = fn.function.prototypes.get(name)
    if prototype is None:
        prototype = _prototype_of_targets(fn, name, i)
    ins, outs = layout(prototype.params), layout(prototype.returns)
    block, result = _argument_block(fn, prototype.params, ins, arguments), _block(fn, outs)
    token = fn.read(target, "u64")
    index = e.binary_const(
        "sub", e.binary_const("sub", token, FUNCTION_TOKEN_BASE), 1 << FUNCTION_TOKEN_SHIFT
    )
    index = e.intrinsic("llvm.fshr.i64", "i64", index, index, const("i64", FUNCTION_TOKEN_SHIFT))
    known, fine, bad = e.label("known"), e.label("fine"), e.label("bad")
    e.branch(e.icmp("ult", index, const("i64", len(fn.program.numbers))), known, bad)
    e.block(bad)
    _illegal(fn)
    e.block(known)
    table = e.op("ptr", "load ptr, ptr @sg_table, !invariant.load !0")
    entry = e.op("ptr", f"getelementptr {{ ptr, i64 }}, {table}, {index}")
    code = e.op("ptr", f"load ptr, {entry}")
    shape_at = e.op("ptr", f"getelementptr i8, {entry}, i64 8")
    shape = e.op("i64", f"load i64, {shape_at}")
    e.branch(e.icmp("eq", shape, const("i64", call_shape(ins.bytes, outs.bytes))), fine, bad)
    e.block(fine)
    e.line(f"call void {code.text}(ptr %ctx, ptr {block}, ptr {result})")
    _deliver(fn, prototype.returns, outs, result, results)


def _prototype_of_targets(fn: Lowering, name: str, i: Instr) -> Prototype:
    names = fn.function.tables.get(name)
    if not names or names[0] not in fn.program.module.functions:
        raise PtxError(f"unknown prototype '{name}'", i.line)
    function = fn.program.module.functions[names[0]]
    return Prototype(function.returns, function.params)


def call_shape(in_bytes: int, out_bytes: int) -> int:
    """What caller and callee must agree on, so that neither reads beyond the other's blocks."""
    return in_bytes << 32 | out_bytes


def _block(fn: Lowering, slots: Slots) -> str:
    return fn.emitter.alloca(f"[{max(slots.bytes, 1)} x i8]", 16)


def _argument_block(
    fn: Lowering, params: list[Variable], slots: Slots, arguments: tuple[Operand, ...]
) -> str:
    """Copy the arguments, registers or .param variables, into one block."""
    e = fn.emitter
    if len(params) != len(arguments):
        raise PtxError(
            f"call in {fn.where()} with {len(arguments)} arguments instead of {len(params)}"
        )
    block = _block(fn, slots)
    for param, argument in zip(params, arguments, strict=True):
        where = e.op("ptr", f"getelementptr i8, ptr {block}, i64 {slots.offsets[param.name]}")
        storage = fn.param_storage(argument.name) if isinstance(argument, Sym) else None
        if storage is None:
            e.line(f"store {fn.read(argument, param.type)}, {where}")
            continue
        base, start, count = storage
        source = e.op("ptr", f"getelementptr i8, {base}, i64 {start}")
        _copy(fn, where, source, min(count, param.bytes))
    return block


def _copy(fn: Lowering, to: Value, source: Value, count: int) -> None:
    size = const("i64", count)
    fn.emitter.externals["llvm.memcpy.p0.p0.i64"] = (
        "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
    )
    fn.emitter.line(f"call void @llvm.memcpy.p0.p0.i64({to}, {source}, {size}, i1 false)")


def _deliver(
    fn: Lowering, returns: list[Variable], slots: Slots, block: str, results: tuple[Operand, ...]
) -> None:
    e = fn.emitter
    for variable, result in zip(returns, results, strict=True):
        where = e.op("ptr", f"getelementptr i8, ptr {block}, i64 {slots.offsets[variable.name]}")
        if isinstance(result, Reg):
            kind = types.storage_type(variable.type)
            fn.write(result, e.op(kind, f"load {kind}, {where}"), types.is_signed(variable.type))
        elif isinstance(result, Sym):
            storage = fn.param_storage(result.name)
            if storage is None:
                raise PtxError(f"result in {fn.where()} that is no parameter")
            target = e.op("ptr", f"getelementptr i8, {storage[0]}, i64 {storage[1]}")
            _copy(fn, target, where, min(storage[2], variable.bytes))
