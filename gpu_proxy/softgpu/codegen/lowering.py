# SPDX-License-Identifier: Apache-2.0
"""The lowering of one function: registers, operands, guards and the walk over the instructions."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from gpu_proxy.softgpu.codegen import types
from gpu_proxy.softgpu.codegen.callgraph import Mode
from gpu_proxy.softgpu.codegen.emitter import Emitter, Value, bits_of, const, float_const
from gpu_proxy.softgpu.codegen.grouping import find_groups
from gpu_proxy.softgpu.codegen.layout import THREAD
from gpu_proxy.softgpu.codegen.registry import HANDLERS, Mods
from gpu_proxy.softgpu.codegen.slots import layout
from gpu_proxy.softgpu.errors import PtxError, UnsupportedError
from gpu_proxy.softgpu.ptx.ast import (
    Function,
    Imm,
    Instr,
    Label,
    Not,
    Operand,
    Reg,
    Sink,
    Special,
    Sym,
    Variable,
)

if TYPE_CHECKING:
    from gpu_proxy.softgpu.codegen.program import Program

CTX = Value("ptr", "%ctx")


class Lowering:
    """State while one PTX function becomes one LLVM function."""

    def __init__(self, program: Program, function: Function) -> None:
        self.program = program
        self.function = function
        self.emitter = Emitter()
        self.slots: dict[str, tuple[str, str]] = {}
        self.fields: dict[str, Value] = {}
        self.carry_slot: str | None = None
        self.labels = {item.name for item in function.body or () if isinstance(item, Label)}
        self.param_slots: dict[str, str] = {}
        self.depot, self.depot_bytes = program.depot(function)
        self.saved_top: str | None = None
        self.spinning: set[Instr] = set()
        self.groups = find_groups(function)
        self.coroutine = program.graph.mode(function.name) is Mode.COROUTINE

    # --- the walk -------------------------------------------------------------------------------

    def lower(self) -> None:
        """Lower the whole body."""
        for item in self.function.body or ():
            if isinstance(item, Label):
                self.emitter.block(item.name)
            else:
                self._lower_instruction(item)
        if not self.emitter.terminated:
            self.leave()

    def _lower_instruction(self, instr: Instr) -> None:
        handler = HANDLERS.get(instr.op)
        mods = Mods(instr)
        try:
            if handler is None:
                raise UnsupportedError("", instr.line)
            if instr.guard is None or instr.op == "bra":
                handler(self, instr, mods)
            else:
                self._lower_guarded(instr, mods)
            mods.done()
        except UnsupportedError as error:
            raise self._unsupported(instr, error) from error
        except PtxError as error:
            if mods.left:
                raise self._unsupported(instr, UnsupportedError("")) from error
            raise (
                error if error.line else PtxError(f"{error} ('{instr.name}')", instr.line)
            ) from error
        except (
            ValueError,
            IndexError,
            KeyError,
            AttributeError,
            TypeError,
            AssertionError,
        ) as error:
            if mods.left:
                raise self._unsupported(instr, UnsupportedError("")) from error
            raise PtxError(f"malformed '{instr.name}' in {self.where()}", instr.line) from error

    def _unsupported(self, instr: Instr, error: UnsupportedError) -> UnsupportedError:
        detail = str(error).removeprefix(f"line {error.line}: ").strip()
        text = (
            f"instruction '{instr.name}' in {self.where()} line {instr.line} "
            "is not supported by the software GPU"
        )
        return UnsupportedError(text + (f": {detail}" if detail else ""))

    def where(self) -> str:
        """What this function is called in messages."""
        return f"{'kernel' if self.function.is_entry else 'function'} '{self.function.name}'"

    def _lower_guarded(self, instr: Instr, mods: Mods) -> None:
        e = self.emitter
        then, after = e.label("then"), e.label("after")
        e.branch(self.guard(instr), then, after)
        e.block(then)
        HANDLERS[instr.op](self, instr, mods)
        e.block(after)

    def guard(self, instr: Instr) -> Value:
        """The guard's truth."""
        assert instr.guard is not None
        value = self.read(instr.guard.reg, "pred")
        return self.invert(value) if instr.guard.negated else value

    def invert(self, value: Value) -> Value:
        """Logical not."""
        return self.emitter.binary("xor", value, const("i1", 1))

    # --- registers ------------------------------------------------------------------------------

    def _slot(self, name: str) -> tuple[str, str]:
        if name not in self.slots:
            storage = types.storage_type(self.function.regs[name])
            self.slots[name] = (self.emitter.alloca(storage), storage)
        return self.slots[name]

    def read(self, operand: Operand, ptx: str) -> Value:
        """An operand as a value of a PTX type; wider registers are truncated."""
        wanted = types.llvm_type(ptx)
        if isinstance(operand, Reg):
            return self._read_register(operand, wanted)
        if isinstance(operand, Imm):
            return self._read_literal(operand, wanted)
        if isinstance(operand, Not):
            return self.invert(self.read(operand.item, "pred"))
        if isinstance(operand, Special):
            return self.as_type(self.program.special(self, operand.name), wanted)
        if isinstance(operand, Sym):
            return self.as_type(self.program.address_of(self, operand), wanted)
        raise PtxError(f"operand in {self.where()} that is no value")

    def _read_register(self, reg: Reg, wanted: str) -> Value:
        slot, storage = self._slot(reg.name)
        value = self.emitter.op(storage, f"load {storage}, ptr {slot}")
        if bits_of(storage) < bits_of(wanted) or (wanted == "i1") != (storage == "i1"):
            raise PtxError(f"register {reg.name} has another type")
        return self.as_type(value, wanted)

    def as_type(self, value: Value, wanted: str) -> Value:
        """Reinterpret the low bits as another type of the same or smaller width."""
        if value.type == wanted:
            return value
        if value.type in ("float", "double", "half", "bfloat"):
            value = self.emitter.convert("bitcast", value, f"i{bits_of(value.type)}")
        value = self.emitter.resize(value, bits_of(wanted))
        return self.emitter.convert("bitcast", value, wanted)

    def _read_literal(self, literal: Imm, wanted: str) -> Value:
        if wanted in ("float", "double", "half", "bfloat"):
            return float_const(wanted, _float_bits(literal, wanted))
        return const(wanted, literal.bits if literal.kind == "int" or wanted != "i1" else 1)

    def write(self, operand: Operand, value: Value, signed: bool = False) -> None:
        """Assign to a register; a wider one is extended."""
        if isinstance(operand, Sink):
            return
        if not isinstance(operand, Reg):
            raise PtxError(f"destination in {self.where()} that is no register")
        slot, storage = self._slot(operand.name)
        if value.type != storage:
            value = self._to_storage(value, storage, signed)
        self.emitter.line(f"store {value}, ptr {slot}")

    def _to_storage(self, value: Value, storage: str, signed: bool) -> Value:
        have = bits_of(value.type)
        if have > bits_of(storage):
            raise PtxError("destination register is too narrow")
        value = self.emitter.convert("bitcast", value, f"i{have}")
        return self.emitter.convert(
            "bitcast", self.emitter.resize(value, bits_of(storage), signed), storage
        )

    def register_type(self, operand: Operand) -> str:
        """The declared type of a register."""
        if not isinstance(operand, Reg):
            raise PtxError(f"operand in {self.where()} that is no register")
        return self.function.regs[operand.name]

    # --- the thread's context ---------------------------------------------------------------------

    def field(
        self, name: str, type_name: str = "i64", index: int = 0, constant: bool = True
    ) -> Value:
        """A field of struct sg_thread; those that never change during a grid may be hoisted."""
        offset = THREAD[name] + index * (bits_of(type_name) // 8)
        address = self.emitter.op("ptr", f"getelementptr i8, ptr %ctx, i64 {offset}")
        suffix = ", !invariant.load !0" if constant else ""
        return self.emitter.op(type_name, f"load {type_name}, {address}{suffix}")

    def set_field(self, name: str, value: Value) -> None:
        """Store to a field of struct sg_thread."""
        address = self.emitter.op("ptr", f"getelementptr i8, ptr %ctx, i64 {THREAD[name]}")
        self.emitter.line(f"store {value}, {address}")

    def runtime(
        self, name: str, result_type: str, *args: Value, attributes: str = "nounwind"
    ) -> Value:
        """Call a runtime function, which gets the thread's context first."""
        return self.emitter.call(name, result_type, CTX, *args, attributes=attributes)

    def wait(self, name: str, result_type: str, *args: Value) -> Value:
        """An operation at which the thread may have to wait for others, and its result if it has
        one.

        A fiber is suspended inside the call. A coroutine suspends itself, and its registers move
        to its frame."""
        if not self.coroutine:
            self.runtime(f"sg_op_{name}", "void", *args)
        else:
            e = self.emitter
            answer = self.runtime(f"sg_co_{name}", "i32", *args)
            must_wait = e.icmp("ne", answer, const("i32", 0))
            suspend, go_on = e.label("suspend"), e.label("resume")
            e.branch(must_wait, suspend, go_on)
            e.block(suspend)
            signal = e.op("i8", "call i8 @llvm.coro.suspend(token none, i1 false)")
            e.end(f'switch {signal}, label %co.suspended [ i8 0, label %"{go_on}" ]')
            e.block(go_on)
        if not result_type:
            return Value("void", "")
        return self.field("result", result_type, constant=False)

    def carry(self) -> str:
        """The slot of the carry flag CC.CF."""
        if self.carry_slot is None:
            self.carry_slot = self.emitter.alloca("i1")
        return self.carry_slot

    # --- entering and leaving
    # -----------------------------------------------------------------------

    def enter(self) -> None:
        """Make room for this call's .local variables in the thread's local window."""
        self._copy_register_params(self.function.params, "%args", load=True)
        if not self.depot_bytes:
            if self.function.is_entry:
                self.set_field("local_top", const("i64", 0))
            return
        if self.function.is_entry:
            self.set_field("local_top", const("i64", self.depot_bytes))
            return
        e = self.emitter
        top = self.field("local_top", constant=False)
        new_top = e.binary_const("add", top, self.depot_bytes)
        fits = e.icmp("ule", new_top, self.field("local_bytes"))
        deep, fine = e.label("deep"), e.label("fine")
        e.branch(fits, fine, deep, ", !prof !1")
        e.block(deep)
        self.runtime("sg_op_stack_overflow", "void", attributes="noreturn nounwind cold")
        e.end("unreachable")
        e.block(fine)
        self.set_field("local_top", new_top)
        self.saved_top = top.text

    def local_base(self) -> Value:
        """Offset of this call's variables in the local window."""
        return Value("i64", self.saved_top) if self.saved_top else const("i64", 0)

    def window_bytes(self, kind: str) -> Value:
        """Size of the shared or local window; a constant in kernels, so that LLVM can drop
        checks.
        """
        if self.function.is_entry and kind == "local":
            return const("i64", self.program.local_window(self.function.name))
        if self.function.is_entry and kind == "shared" and not self.program.has_dynamic_shared:
            return const("i64", self.program.static_shared_bytes(self.function.name))
        return self.field(f"{kind}_bytes")

    def param_base(self) -> Value:
        """Where this function's parameters lie."""
        return self.field("params", "ptr") if self.function.is_entry else Value("ptr", "%args")

    def param_storage(self, name: str) -> tuple[Value, int, int] | None:
        """Base, offset and size of something in .param space."""
        for variables, base in (
            (self.function.params, None),
            (self.function.returns, Value("ptr", "%ret")),
        ):
            slots = layout(variables)
            if name in slots.offsets:
                size = next(v.bytes for v in variables if v.name == name)
                return base or self.param_base(), slots.offsets[name], size
        variable = self.function.variables.get(name)
        if variable is None or variable.space != "param":
            return None
        if name not in self.param_slots:
            self.param_slots[name] = self.emitter.alloca(
                f"[{max(variable.bytes, 1)} x i8]", max(variable.align, 8)
            )
        return Value("ptr", self.param_slots[name]), 0, variable.bytes

    def _copy_register_params(self, variables: list[Variable], base: str, *, load: bool) -> None:
        """Old-style parameters in registers: fetch them on entry, deliver results on return."""
        slots = layout(variables)
        for variable in variables:
            if variable.space != "reg":
                continue
            slot, storage = self._slot(variable.name)
            where = self.emitter.op(
                "ptr", f"getelementptr i8, ptr {base}, i64 {slots.offsets[variable.name]}"
            )
            source, target = (where.text, slot) if load else (slot, where.text)
            value = self.emitter.op(storage, f"load {storage}, ptr {source}")
            self.emitter.line(f"store {value}, ptr {target}")

    def leave(self) -> None:
        """Return from the function."""
        self._copy_register_params(self.function.returns, "%ret", load=False)
        if self.saved_top:
            self.set_field("local_top", Value("i64", self.saved_top))
        self.emitter.end("br label %co.ended" if self.coroutine else "ret void")

    def variable(self, name: str) -> Variable | None:
        """A variable by its name, local ones first."""
        return self.function.variables.get(name) or self.program.module.variables.get(name)


def _float_bits(literal: Imm, wanted: str) -> int:
    """Bit pattern of a literal read as a float type."""
    if literal.kind == "int" or wanted in ("half", "bfloat"):
        return literal.bits
    if (literal.kind, wanted) == ("f64", "float"):
        value = struct.unpack("<d", struct.pack("<Q", literal.bits))[0]
        return int(struct.unpack("<I", struct.pack("<f", value))[0])
    if (literal.kind, wanted) == ("f32", "double"):
        value = struct.unpack("<f", struct.pack("<I", literal.bits))[0]
        return int(struct.unpack("<Q", struct.pack("<d", value))[0])
    return literal.bits
