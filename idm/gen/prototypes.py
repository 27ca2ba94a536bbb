# SPDX-License-Identifier: Apache-2.0
"""Writes the call table as C prototypes, and the sizes of its types as assertions.

The stubs of libvgpu are defined with these prototypes; a test lets the compiler compare them with a
vendor header, where a mistake is the error "conflicting types".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from idm.api.table import Call, Mode, Table
from idm.api.types import Type, Wire


def parameters(row: Call) -> str:
    """The parameter list of one row, as C writes it."""
    if not row.params:
        return "void"
    return ", ".join(declaration(param.c_type, param.name) for param in row.params)


def declaration(c_type: str, name: str) -> str:
    """One declared parameter: no space after an asterisk."""
    return f"{c_type}{name}" if c_type.endswith("*") else f"{c_type} {name}"


def described(table: Table) -> Iterator[Call]:
    """The rows that state their parameters and exist in the public interface."""
    for row in table.calls:
        if row.mode is not Mode.REFUSED and row.symbol.startswith("cu"):
            yield row


def prototypes(table: Table, wanted: Callable[[str], bool] = lambda symbol: True) -> str:
    """One prototype for each exported symbol that is wanted."""
    return "".join(
        f"CUresult {symbol}({parameters(row)});\n"
        for row in described(table)
        for symbol in row.symbols
        if wanted(symbol)
    )


def types(table: Table) -> dict[str, Type]:
    """Every C type whose size a row states, by its name."""
    found: dict[str, Type] = {}
    for row in described(table):
        for param in row.params:
            if param.wire is Wire.LOCAL or param.type.c_name in ("void", "char"):
                continue
            known = found.setdefault(param.type.c_name, param.type)
            if known.size != param.type.size:
                raise ValueError(f"{row.symbol}: {known.c_name} has two sizes")
    return found


def size_assertions(table: Table, wanted: Callable[[str], bool] = lambda name: True) -> str:
    """One static assertion for each type that is wanted."""
    return "".join(
        f'_Static_assert(sizeof({name}) == {type_.size}, "{name}");\n'
        for name, type_ in types(table).items()
        if wanted(name)
    )
