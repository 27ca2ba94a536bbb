# SPDX-License-Identifier: Apache-2.0
"""Function bodies: nested scopes, labels and instructions."""

from __future__ import annotations

from gpu_proxy.softgpu.errors import LimitError, PtxError
from gpu_proxy.softgpu.ptx.ast import (
    Addr,
    Function,
    Group,
    Guard,
    Imm,
    Instr,
    Label,
    Not,
    Operand,
    Pair,
    Prototype,
    Reg,
    Sink,
    Special,
    Sym,
    Vec,
)
from gpu_proxy.softgpu.ptx.declarations import parse_param_list, parse_registers, parse_variables
from gpu_proxy.softgpu.ptx.isa import OPCODES, SPECIAL_REGISTERS
from gpu_proxy.softgpu.ptx.lexer import Tokens
from gpu_proxy.softgpu.ptx.numbers import negate, parse_constant
from gpu_proxy.softgpu.ptx.split import MAX_NESTING

_SPACES = (".local", ".shared", ".param", ".const", ".global")


class BodyParser:
    """Parses one { ... } into `function`. Names of inner scopes are made unique."""

    def __init__(self, tokens: Tokens, function: Function) -> None:
        self.tokens = tokens
        self.function = function
        self.body: list[Instr | Label] = []
        self.scopes: list[dict[str, str]] = []
        self.labels: list[dict[str, str]] = []
        self.unique = 0
        self.in_call = False
        # A branch may name a label that comes later, so labels are resolved when their scope
        # closes.
        self.pending: list[list[int]] = []

    def parse(self) -> None:
        """Parse the whole body."""
        self.tokens.expect("{")
        self._open()
        for variable in (*self.function.params, *self.function.returns):
            self.scopes[-1][variable.name] = variable.name
            if variable.space == "reg":
                self.function.regs[variable.name] = variable.type
        while self.scopes:
            self._statement()
        self.function.body = self.body

    def _open(self) -> None:
        if len(self.scopes) >= MAX_NESTING:
            raise LimitError(f"more than {MAX_NESTING} nested scopes")
        self.scopes.append({})
        self.labels.append({})
        self.pending.append([])

    def _close(self) -> None:
        self.scopes.pop()
        labels = self.labels.pop()
        unresolved = [i for i in self.pending.pop() if not self._resolve_labels(i, labels)]
        if self.pending:
            self.pending[-1] += unresolved

    def _resolve_labels(self, index: int, labels: dict[str, str]) -> bool:
        instr = self.body[index]
        assert isinstance(instr, Instr)
        done = True
        args: list[Operand] = []
        for arg in instr.args:
            if isinstance(arg, Sym) and arg.name in labels:
                args.append(Sym(labels[arg.name], arg.offset))
                continue
            done = done and not isinstance(arg, Sym)
            args.append(arg)
        instr.args = tuple(args)
        return done

    def _name(self, name: str) -> str:
        """The unique name for a declaration of `name` in the innermost scope."""
        if name in self.scopes[-1]:
            raise PtxError(f"{name} is declared twice", self.tokens.line)
        taken = any(name in scope for scope in self.scopes)
        if taken or len(self.scopes) > 1:
            self.unique += 1
            name = f"{name}.{self.unique}"
        return name

    def _statement(self) -> None:
        tokens = self.tokens
        if tokens.accept("{"):
            self._open()
        elif tokens.accept("}"):
            self._close()
        elif tokens.kind == "directive":
            self._directive()
        elif tokens.kind == "word" and tokens.values[tokens.at + 1] == ":":
            self._label()
        elif not tokens.accept(";"):
            self._instruction()

    def _directive(self) -> None:
        tokens = self.tokens
        directive = tokens.next()
        if directive == ".reg":
            for name, kind in parse_registers(tokens):
                unique = self._name(name)
                self.scopes[-1][name] = unique
                self.function.regs[unique] = kind
        elif directive in _SPACES:
            for variable in parse_variables(tokens, directive[1:], False):
                unique = self._name(variable.name)
                self.scopes[-1][variable.name] = unique
                variable.name = unique
                self.function.variables[unique] = variable
        elif directive == ".pragma":
            while tokens.next() != ";":
                pass
        else:
            raise PtxError(f"unexpected {directive}", tokens.line)

    def _label(self) -> None:
        tokens = self.tokens
        name = tokens.next()
        tokens.next()
        unique = name if len(self.labels) == 1 else f"{name}.{len(self.body)}"
        if tokens.accept(".branchtargets"):
            self.scopes[-1][name] = unique
            self.function.tables[unique] = self._name_list()
        elif tokens.accept(".callprototype"):
            returns = parse_param_list(tokens)
            tokens.expect("_")
            self.scopes[-1][name] = unique
            self.function.prototypes[unique] = Prototype(returns, parse_param_list(tokens))
            while tokens.next() != ";":
                pass
        elif tokens.accept(".calltargets"):
            self.scopes[-1][name] = unique
            self.function.tables[unique] = self._name_list()
        elif name in self.labels[-1]:
            raise PtxError(f"label {name} is declared twice", tokens.line)
        else:
            self.labels[-1][name] = unique
            self.body.append(Label(unique))

    def _name_list(self) -> list[str]:
        names = [self.tokens.word()]
        while self.tokens.accept(","):
            names.append(self.tokens.word())
        self.tokens.expect(";")
        return names

    def _instruction(self) -> None:
        tokens = self.tokens
        line = tokens.line
        guard = None
        if tokens.accept("@"):
            negated = tokens.accept("!")
            guard = Guard(self._register(tokens.word()), negated)
        op, *mods = tokens.word().split(".")
        if op not in OPCODES:
            raise PtxError(f"unknown instruction '{op}'", line)
        args: list[Operand] = []
        self.in_call = op == "call"
        while not tokens.accept(";"):
            args.append(self._operand())
            if tokens.value == "|":
                tokens.next()
                args[-1] = Pair(args[-1], self._operand())
            if not tokens.accept(",") and tokens.value != ";":
                raise PtxError(f"unexpected {tokens.value!r} in '{op}'", line)
        if any(isinstance(arg, Sym) for arg in args):
            self.pending[-1].append(len(self.body))
        self.body.append(Instr(op, tuple(mods), tuple(args), guard, line))

    def _register(self, name: str) -> Reg:
        unique = self._lookup(name)
        if unique is None or unique not in self.function.regs:
            raise PtxError(f"{name} is no register", self.tokens.line)
        return Reg(unique)

    def _lookup(self, name: str) -> str | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def _operand(self) -> Operand:
        tokens = self.tokens
        if tokens.kind == "number" or tokens.value in ("-", "+", "~"):
            return parse_constant(tokens)
        if tokens.accept("!"):
            return Not(self._operand())
        if tokens.accept("["):
            return self._address()
        if tokens.accept("{"):
            return Vec(self._list("}"))
        if tokens.value == "(" and not self.in_call:
            return parse_constant(tokens)
        if tokens.accept("("):
            return Group(self._list(")"))
        return self._named()

    def _named(self) -> Operand:
        tokens = self.tokens
        name = tokens.word()
        if name == "_":
            return Sink()
        if name == "WARP_SZ":
            return Imm(32)
        unique = self._lookup(name)
        if unique is not None and unique in self.function.regs:
            return Reg(unique)
        if unique is None and name.startswith("%"):
            if name[1:] not in SPECIAL_REGISTERS:
                raise PtxError(f"{name} is not declared", tokens.line)
            return Special(name[1:])
        return Sym(unique or name, self._offset())

    def _offset(self) -> int:
        if self.tokens.accept("+"):
            return parse_constant(self.tokens).bits
        if self.tokens.accept("-"):
            return negate(parse_constant(self.tokens)).bits
        return 0

    def _list(self, end: str) -> tuple[Operand, ...]:
        items: list[Operand] = []
        while not self.tokens.accept(end):
            items.append(self._operand())
            if not self.tokens.accept(",") and self.tokens.value != end:
                raise PtxError(f"unexpected {self.tokens.value!r} in a list", self.tokens.line)
        return tuple(items)

    def _address(self) -> Operand:
        base = self._operand()
        offset = self._offset()
        if isinstance(base, Sym):
            base, offset = Sym(base.name), base.offset + offset
        if self.tokens.accept(","):
            # Coordinates of a texture and the like: no instruction that we know takes them.
            return Group((base, *self._list("]")))
        self.tokens.expect("]")
        return Addr(base, offset)
