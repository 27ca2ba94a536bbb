# SPDX-License-Identifier: Apache-2.0
"""Sizes of the variables that a PTX text declares in device memory, without parsing the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpu_proxy.softgpu.errors import PtxError
from gpu_proxy.softgpu.ptx.lexer import Tokens
from gpu_proxy.softgpu.ptx.numbers import parse_constant

LARGEST_ELEMENT_BITS = 128  # of a type that is not known
OPAQUE_BYTES = 8
_NOISE = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
# A name or an instruction with all its suffixes, a number, or directives in a row.
_PIECE = re.compile(r"[%$_A-Za-z][\w$%]*(?:\.[\w:]+)*|\d\w*|((?:\.[A-Za-z_][\w:]*\s*)+)", re.ASCII)
_ATTRIBUTE = re.compile(r"\.attribute\s*\((?:[^()]|\([^()]*\))*\)")
_BANK = re.compile(r"\s*\[[^\[\]]*\]")
_VECTOR = re.compile(r"\.v([248])(?!\w)")
_TYPE = re.compile(r"\.[a-z]+(\d+)(?:x(\d+))?(?!\w)", re.ASCII)
_OPAQUE = re.compile(r"\.(?:tex|sampler|surf)ref(?!\w)")
_DIMENSION = re.compile(r"\[([^\[\]]*)\]")


def variable_sizes(text: str) -> Iterator[int]:
    """Sizes in bytes. Raises PtxError for a dimension that is no constant."""
    text = _NOISE.sub(" ", text)
    at = 0
    while piece := _PIECE.search(text, at):
        at = piece.end()
        if piece[1] and _is_declaration(piece[1]):
            end = text.find(";", at)
            end = end if end >= 0 else len(text)
            yield from _declared(piece[1] + text[at:end])
            at = end


def _is_declaration(directives: str) -> bool:
    """Whether a variable follows; a parameter may point to the same spaces."""
    names = {name.strip() for name in directives.replace(".", " .").split()}
    return bool(names & {".global", ".const"}) and not names & {".param", ".ptr"}


def _declared(statement: str) -> Iterator[int]:
    """Sizes of the names in `.global .align 4 .b8 a[8], b[] = {1, 2}`."""
    statement = _ATTRIBUTE.sub(" ", statement)
    values = statement.count(",") + 1  # no name has more initial values
    heads = [declarator.split("=", 1)[0] for declarator in _declarators(statement)]
    element = _element_bytes(heads[0])
    for head in heads:
        count = 1
        for dimension in _DIMENSION.findall(head):
            count *= _constant(dimension) if dimension.strip() else values
        yield count * element


def _declarators(statement: str) -> Iterator[str]:
    """Parts between the commas that are not inside braces."""
    _, bank, rest = statement.partition(".const")
    if bank and (found := _BANK.match(rest)):
        statement = rest[found.end() :]  # `.const[2]` names a bank, not a dimension.
    start = depth = 0
    for mark in re.finditer(r"[{},]", statement):
        depth += {"{": 1, "}": -1, ",": 0}[mark[0]]
        if mark[0] == "," and depth <= 0:
            yield statement[start : mark.start()]
            start = mark.end()
    yield statement[start:]


def _element_bytes(head: str) -> int:
    vector = max((int(found[1]) for found in _VECTOR.finditer(head)), default=1)
    plain = _VECTOR.sub(" ", head)
    bits = [int(found[1]) * int(found[2] or 1) for found in _TYPE.finditer(plain)]
    if not bits and _OPAQUE.search(plain):
        return OPAQUE_BYTES
    return vector * -(-max(bits, default=LARGEST_ELEMENT_BITS) // 8)


def _constant(text: str) -> int:
    tokens = Tokens(text)
    value = parse_constant(tokens)
    if tokens.kind != "end" or value.kind != "int" or value.bits < 0:
        raise PtxError(f"a dimension of {text[:40]!r}")
    return value.bits
