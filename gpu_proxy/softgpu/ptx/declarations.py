# SPDX-License-Identifier: Apache-2.0
"""Declarations of variables, parameters and registers."""

from __future__ import annotations

import re

from gpu_proxy.softgpu.errors import LimitError, PtxError, UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Imm, Masked, Sym, Variable
from gpu_proxy.softgpu.ptx.lexer import Tokens
from gpu_proxy.softgpu.ptx.numbers import parse_constant, take_number

MAX_REGISTERS_PER_DIRECTIVE = 1_000_000
MAX_VARIABLE_BYTES = 1 << 31

TYPE = re.compile(
    r"\.(?:pred|[busf](?:8|16|32|64)|b128|f16x2|bf16|bf16x2|s16x2|u16x2|texref|samplerref|surfref)"
)
LINKAGE = {".extern": True, ".visible": False, ".weak": False, ".common": False, ".linkonce": False}
_OPAQUE = ("texref", "samplerref", "surfref")


def parse_linkage(tokens: Tokens) -> bool:
    """Skip linkage directives; tells whether one says that the definition is elsewhere."""
    external = False
    while tokens.value in LINKAGE:
        external |= LINKAGE[tokens.next()]
    return external


def parse_variables(tokens: Tokens, space: str, external: bool) -> list[Variable]:
    """`.align 4 .b8 a[8], b = 3;` after the state space has been read."""
    proto = _parse_attributes(tokens, space)
    proto.external = external
    result = [_parse_declarator(tokens, proto)]
    while tokens.accept(","):
        result.append(_parse_declarator(tokens, proto))
    tokens.expect(";")
    return result


def parse_param(tokens: Tokens) -> Variable:
    """`.param .align 8 .b8 name[16]` or `.reg .b32 name`."""
    space = tokens.next()
    if space not in (".param", ".reg"):
        raise PtxError(f"expected .param or .reg, found {space!r}", tokens.line)
    return _parse_declarator(tokens, _parse_attributes(tokens, space[1:]))


def parse_param_list(tokens: Tokens) -> list[Variable]:
    """`(param, param)` or nothing."""
    params: list[Variable] = []
    if not tokens.accept("("):
        return params
    while not tokens.accept(")"):
        param = parse_param(tokens)
        if param.name == "_":  # prototypes need no names, but layouts do
            param.name = f"_.{len(params)}"
        params.append(param)
        tokens.accept(",")
    return params


def parse_registers(tokens: Tokens) -> list[tuple[str, str]]:
    """`.pred %p<3>, q;` after `.reg`: pairs of name and type."""
    proto = _parse_attributes(tokens, "reg")
    if proto.vector > 1:
        raise UnsupportedError("vector registers are not supported by the software GPU", proto.line)
    result: list[tuple[str, str]] = []
    while True:
        name = tokens.word()
        if tokens.accept("<"):
            count = take_number(tokens).bits
            tokens.expect(">")
            if count > MAX_REGISTERS_PER_DIRECTIVE:
                raise LimitError(f"{count} registers in one directive")
            result += [(f"{name}{i}", proto.type) for i in range(count)]
        else:
            result.append((name, proto.type))
        if not tokens.accept(","):
            tokens.expect(";")
            return result


def _parse_attributes(tokens: Tokens, space: str) -> Variable:
    """Everything before the name: alignment, vector size, type, pointer facts."""
    found = Variable(space=space, type="", name="", align=0, count=1, line=tokens.line)
    while tokens.kind == "directive":
        directive = tokens.next()
        if directive == ".align":
            align = take_number(tokens).bits
            if not found.type:
                found.align = align
            if align <= 0 or align & (align - 1) or align > 4096:
                raise PtxError(f"alignment of {align}", tokens.line)
        elif directive in (".v2", ".v4", ".v8"):
            found.vector = int(directive[2:])
        elif directive == ".attribute":
            _parse_attribute(tokens)
        elif TYPE.fullmatch(directive):
            found.type = directive[1:]
        elif directive not in (".ptr", ".global", ".shared", ".const", ".local", ".param"):
            raise PtxError(f"unexpected {directive}", tokens.line)
    if not found.type:
        raise PtxError("a declaration without a type", tokens.line)
    if found.type in _OPAQUE:
        raise UnsupportedError(
            f"'.{found.type}' (textures and surfaces) is not supported by the software GPU",
            tokens.line,
        )
    return found


def _parse_attribute(tokens: Tokens) -> None:
    tokens.expect("(")
    name = tokens.next()
    if name == ".managed":
        raise UnsupportedError(
            "'.managed' variables are not supported by the software GPU", tokens.line
        )
    while not tokens.accept(")"):
        if tokens.accept("("):
            while not tokens.accept(")"):
                tokens.next()
        else:
            tokens.next()


def _parse_declarator(tokens: Tokens, proto: Variable) -> Variable:
    line = tokens.line
    name = tokens.word()
    count, is_array = 1, False
    while tokens.accept("["):
        is_array = True
        count *= 0 if tokens.value == "]" else parse_constant(tokens).bits
        tokens.expect("]")
    variable = Variable(
        space=proto.space,
        type=proto.type,
        name=name,
        align=proto.align,
        count=count,
        is_array=is_array,
        external=proto.external,
        vector=proto.vector,
        line=line,
    )
    variable.align = variable.align or variable.element_bytes
    if tokens.accept("="):
        variable.init = _parse_init(tokens)
        if is_array and count == 0:
            variable.count = -(-len(variable.init) // variable.vector)
        if len(variable.init) > variable.count * variable.vector:
            raise PtxError(f"too many initial values for {name}", line)
    if not 0 <= variable.bytes <= MAX_VARIABLE_BYTES:
        raise LimitError(f"variable {name} has {variable.bytes} bytes")
    return variable


def _parse_init(tokens: Tokens) -> list[Imm | Sym | Masked]:
    """One value or nested lists of values, flattened."""
    if not tokens.accept("{"):
        return [_parse_init_value(tokens)]
    values: list[Imm | Sym | Masked] = []
    while not tokens.accept("}"):
        values += _parse_init(tokens)
        if not tokens.accept(",") and tokens.value != "}":
            raise PtxError("expected ',' in an initialiser", tokens.line)
    return values


def _parse_init_value(tokens: Tokens) -> Imm | Sym | Masked:
    if tokens.kind == "word" and tokens.value != "WARP_SZ":
        return _parse_symbol(tokens)
    value = parse_constant(tokens)
    if tokens.value == "(" and value.kind == "int":
        tokens.next()
        symbol = _parse_symbol(tokens)
        tokens.expect(")")
        return Masked(value.bits, symbol)
    return value


def _parse_symbol(tokens: Tokens) -> Sym:
    name = tokens.word()
    if name == "generic" and tokens.accept("("):
        inner = _parse_symbol(tokens)
        tokens.expect(")")
        return Sym(inner.name, inner.offset + _parse_offset(tokens))
    return Sym(name, _parse_offset(tokens))


def _parse_offset(tokens: Tokens) -> int:
    if tokens.accept("+"):
        return parse_constant(tokens).bits
    if tokens.accept("-"):
        return -parse_constant(tokens).bits
    return 0
