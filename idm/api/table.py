# SPDX-License-Identifier: Apache-2.0
"""The call table: one row for every symbol of the CUDA driver interface.

A row states its number (part of the wire protocol: append only), its symbol, the driver version
that brought it, where it runs, and its parameters in C order. Everything else is derived from the
rows: the stubs of libvgpu, the descriptors that both sides pack and check by, the coverage page,
and tests.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from enum import Enum

from .types import Kind, Param, Wire


class Mode(Enum):
    """Where a call runs, and whether its caller waits."""

    SYNC = "synchronous"  # the caller waits for the response
    POSTED = "posted"  # the caller goes on at once
    LOCAL = "local"  # answered in the zone
    REFUSED = "refused"  # CUDA_ERROR_NOT_SUPPORTED, logged once with its name


SYNC, POSTED, LOCAL = Mode.SYNC, Mode.POSTED, Mode.LOCAL


class TableError(ValueError):
    """A row that contradicts itself or another row."""


@dataclass(frozen=True)
class Call:
    """One row."""

    number: int
    symbol: str
    since: int
    mode: Mode
    params: tuple[Param, ...]
    front: str = ""  # hand-written front-end function (libvgpu/csrc), by its suffix
    handler: str = ""  # hand-written back-end handler (gpu_proxy/handlers), by name
    fast: bool = False  # executed by the C executor
    lane: bool = False  # may block: executed on a helper lane of the calling thread
    per_thread: str = ""  # suffix of the variant whose null stream is per-thread: _ptds or _ptsz
    no_context: bool = False  # needs no current context
    reason: str = ""  # why a refused row is refused
    back_end: bool = False  # refused to applications, but the back end calls it for its own ends
    elsewhere: bool = False  # its front-end function sends other rows, never this one
    unsafe: bool = False  # refused while a capture forbids what it does not see (CUDA's modes)
    queues: int = 1  # works that it puts into its stream, if it is posted and has one

    @property
    def base(self) -> str:
        """The symbol without its version suffix: what cuGetProcAddress is asked for."""
        stem, _, suffix = self.symbol.rpartition("_v")
        return stem if stem and suffix.isdigit() else self.symbol

    @property
    def stream(self) -> str | None:
        """The parameter that names the stream a posted call works in; "": the null stream."""
        if self.mode is not Mode.POSTED or not self.queues:
            return None
        for param in self.params:
            if param.type.kind is Kind.STREAM and param.wire is Wire.HANDLE and not param.drops:
                return param.name
        return "" if self.per_thread else None

    @property
    def symbols(self) -> tuple[str, ...]:
        """All exported names of this row."""
        if not self.per_thread:
            return (self.symbol,)
        return (self.symbol, self.symbol + self.per_thread)


class Table:
    """All rows, by number and by symbol."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.by_number: dict[int, Call] = {}
        self.by_symbol: dict[str, Call] = {}

    def add(self, row: Call) -> None:
        """Check one row against itself and the rows before it, then keep it."""
        _check(row)
        if row.number in self.by_number:
            other = self.by_number[row.number].symbol
            raise TableError(f"{row.symbol}: number {row.number:#x} is {other}'s")
        for symbol in row.symbols:
            if symbol in self.by_symbol:
                raise TableError(f"{symbol}: has two rows")
            self.by_symbol[symbol] = row
        self.by_number[row.number] = row
        self.calls.append(row)


def _check(row: Call) -> None:
    names = [p.name for p in row.params]
    if len(set(names)) != len(names):
        raise TableError(f"{row.symbol}: a parameter name appears twice")
    for param in row.params:
        for reference in (param.count, param.parent):
            if reference and reference not in names:
                raise TableError(f"{row.symbol}: {param.name} refers to no parameter {reference}")
    if row.mode is Mode.REFUSED and not row.reason:
        raise TableError(f"{row.symbol}: a refused row needs a reason")
    if row.mode is Mode.LOCAL and not row.front:
        raise TableError(f"{row.symbol}: a local row needs its front-end function")
    if row.unsafe and not row.symbol.startswith("cu"):
        raise TableError(f"{row.symbol}: only what an application calls can be unsafe")
    if row.mode is Mode.POSTED and any(p.wire in RESULTS for p in row.params):
        raise TableError(f"{row.symbol}: a posted call has no results")
    if not row.front and any(p.wire is Wire.LOCAL for p in row.params):
        raise TableError(f"{row.symbol}: a local parameter needs a front-end function")


RESULTS = frozenset({Wire.OUT, Wire.OUT_HANDLE, Wire.ARRAY_OUT, Wire.BYTES_OUT, Wire.INOUT})

_table = Table()


def call(
    number: int,
    symbol: str,
    since: int,
    mode: Mode = SYNC,
    *,
    front: str = "",
    handler: str = "",
    fast: bool = False,
    lane: bool = False,
    per_thread: str = "",
    no_context: bool = False,
    elsewhere: bool = False,
    unsafe: bool = False,
    queues: int = 1,
    **params: Param,
) -> None:
    """Add a row. `params` are the call's parameters, in C order, by their names."""
    named = tuple(replace(param, name=name.rstrip("_")) for name, param in params.items())
    row = Call(
        number, symbol, since, mode, named, front, handler, fast, lane, per_thread, no_context
    )
    _table.add(replace(row, elsewhere=elsewhere, unsafe=unsafe, queues=queues))


def refused(
    number: int,
    symbol: str,
    since: int,
    reason: str,
    *,
    per_thread: str = "",
    back_end: bool = False,
) -> None:
    """Add a row that is not supported; `reason` appears in docs/coverage.md."""
    row = Call(number, symbol, since, Mode.REFUSED, (), per_thread=per_thread, reason=reason)
    _table.add(replace(row, back_end=back_end))


GROUPS = (
    "core",
    "device",
    "context",
    "module",
    "memory",
    "transfer",
    "stream",
    "event",
    "launch",
    "graph",
    "texture",
    "interop",
    "internal",
)


def load() -> Table:
    """The whole table. Rows are added by importing the group modules, once."""
    for group in GROUPS:
        importlib.import_module(f"idm.api.{group}")
    return _table
