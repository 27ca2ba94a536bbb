# SPDX-License-Identifier: Apache-2.0
"""What others need to know of a function, from its body."""

from __future__ import annotations

from collections.abc import Iterable

from gpu_proxy.softgpu.ptx.ast import (
    Facts,
    Function,
    Group,
    Imm,
    Instr,
    Masked,
    Module,
    Operand,
    Special,
    Sym,
    Variable,
    Vec,
)

RESERVED = "reserved_smem"


def facts_of(module: Module, function: Function) -> Facts:
    """The facts about a function whose body has been read."""
    calls: set[str] = set()
    uses: set[str] = set()
    facts = Facts(variables=[v for v in function.variables.values() if v.space != "param"])
    for item in function.body or ():
        if not isinstance(item, Instr):
            continue
        if item.op == "call":
            target = call_target(item)
            if isinstance(target, Sym):
                calls.add(target.name)
            else:
                facts.calls_pointers = True
            continue
        facts.reserved_shared |= any(
            isinstance(x, Special) and x.name.startswith(RESERVED) for x in item.args
        )
        uses.update(_symbols(getattr(x, "base", x) for x in item.args))
    facts.calls = sorted(calls)
    facts.uses = sorted(name for name in uses if is_named(module, name))
    return facts


def is_named(module: Module, name: str) -> bool:
    """Whether something of the module itself has this name."""
    return name in module.variables or name in module.functions or name in module.aliases


def call_target(instr: Instr) -> Operand:
    """What a call calls."""
    with_results = isinstance(instr.args[0], Group) and len(instr.args) > 1
    return instr.args[1] if with_results else instr.args[0]


def address_taken(module: Module) -> list[str]:
    """The functions that may be called through pointers."""
    taken: dict[str, None] = {}
    for variable in module.variables.values():
        _note(module, _addresses(variable), taken)
    for function in module.functions.values():
        for variable in function.facts.variables:
            _note(module, _addresses(variable), taken)
        _note(module, function.facts.uses, taken)
    return list(taken)


def _note(module: Module, names: Iterable[str], taken: dict[str, None]) -> None:
    for name in map(module.resolve, names):
        if name in module.functions:
            taken[name] = None


def _addresses(variable: Variable) -> Iterable[str]:
    for item in variable.init or ():
        symbol = item.symbol if isinstance(item, Masked) else item
        if not isinstance(symbol, Imm):
            yield symbol.name


def _symbols(operands: Iterable[Operand]) -> Iterable[str]:
    for operand in operands:
        if isinstance(operand, Sym):
            yield operand.name
        elif isinstance(operand, (Vec, Group)):
            yield from _symbols(operand.items)
