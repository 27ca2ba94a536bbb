# SPDX-License-Identifier: Apache-2.0
"""Facts about the whole module that the lowering of each function needs: addresses, layouts,
tables.
"""

from __future__ import annotations

from gpu_proxy.softgpu.codegen import special
from gpu_proxy.softgpu.codegen.callgraph import CallGraph, spin_branches
from gpu_proxy.softgpu.codegen.emitter import Value, const
from gpu_proxy.softgpu.codegen.layout import FUNCTION_TOKEN_BASE, FUNCTION_TOKEN_SHIFT
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.slots import Slots, align_up, layout
from gpu_proxy.softgpu.errors import PtxError, UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Function, Module, Sym, Variable
from gpu_proxy.softgpu.ptx.parser import parse_body

DEPOT_ALIGN = 16
SITE_BITS = 16


class Program:
    """A PTX module on its way to LLVM."""

    def __init__(self, module: Module, text: str) -> None:
        self.module = module
        self._text = text
        self.graph = CallGraph(module, self.read)
        # Functions are numbered in the whole module: their addresses are the same in all objects.
        self.numbers = {name: n for n, name in enumerate(module.functions)}
        self.kernels = [f for f in module.functions.values() if f.is_entry and f.span is not None]
        self.global_variables: list[Variable] = []
        self.globals: dict[tuple[str, str], int] = {}  # numbers, by function (or "") and name
        self.slots: dict[int, int] = {}  # of the object being made, by number of a global
        self.depots: dict[str, Slots] = {}
        self._sites: dict[str, int] = {}
        for variable in module.variables.values():
            self._add_global("", variable)
        for function in module.functions.values():
            for variable in function.facts.variables:
                self._add_global(function.name, variable)
        self.has_dynamic_shared = any(
            v.space == "shared" and not v.bytes for v in self._all_variables()
        )
        self._lay_out_shared()

    def read(self, function: Function) -> None:
        """Read the body of a function, unless that has been done."""
        parse_body(self._text, function)

    def _all_variables(self) -> list[Variable]:
        inner = [v for f in self.module.functions.values() for v in f.facts.variables]
        return [*self.module.variables.values(), *inner]

    def _add_global(self, owner: str, variable: Variable) -> None:
        if variable.space in ("global", "const") and not variable.external:
            self.globals[owner, variable.name] = len(self.global_variables)
            self.global_variables.append(variable)

    # --- shared memory
    # ------------------------------------------------------------------------------

    def _lay_out_shared(self) -> None:
        """Variables that device functions use lie at the same place in every kernel; a kernel's
        own follow.
        """
        functions = self.module.functions.values()
        used = {function.name: self._shared_used(function) for function in functions}
        common = Slots()
        if any(function.facts.reserved_shared for function in functions):
            common.bytes = special.RESERVED_SHARED_BYTES
        reserved = common.bytes
        with_shared = {f.name for f in functions if used[f.name] and not f.is_entry}
        for name in self.numbers:
            if name in with_shared:
                for variable in used[name]:
                    common.add(variable)
        self.shared: dict[str, Slots] = {}
        for function in functions:
            needs_common = not function.is_entry or (
                bool(with_shared)
                and not with_shared.isdisjoint(self.graph.reachable(function.name))
            )
            slots = Slots(dict(common.offsets), common.bytes if needs_common else reserved)
            for variable in used[function.name]:
                slots.add(variable)
            self.shared[function.name] = slots

    def _shared_used(self, function: Function) -> list[Variable]:
        facts = function.facts
        found = [v for v in facts.variables if v.space == "shared" and v.bytes]
        own = {v.name for v in facts.variables}
        for name in facts.uses:
            variable = self.module.variables.get(name)
            if variable and variable.space == "shared" and variable.bytes and name not in own:
                found.append(variable)
        return sorted(found, key=lambda v: (-v.align, v.name))

    def static_shared_bytes(self, kernel: str) -> int:
        """Bytes of shared memory that a kernel declares."""
        return self.shared[kernel].bytes

    # --- local memory and parameters
    # ----------------------------------------------------------------

    def depot(self, function: Function) -> tuple[Slots, int]:
        """The .local variables of a function."""
        if function.name not in self.depots:
            slots = Slots()
            for variable in function.facts.variables:
                if variable.space == "local":
                    slots.add(variable)
            self.depots[function.name] = slots
        slots = self.depots[function.name]
        return slots, align_up(slots.bytes, DEPOT_ALIGN)

    def local_window(self, kernel: str) -> int:
        """Bytes of local memory for one thread."""
        own = {name: self.depot(function)[1] for name, function in self.module.functions.items()}
        return self.graph.local_bytes(kernel, own)

    def spins(self, function: Function) -> set[int]:
        """Backward branches that should yield."""
        return spin_branches(function)

    # --- addresses
    # ------------------------------------------------------------------------------------

    def token(self, name: str) -> int:
        """The address of a function as kernels see it."""
        return FUNCTION_TOKEN_BASE | (self.numbers[name] + 1) << FUNCTION_TOKEN_SHIFT

    def address_of(self, fn: Lowering, symbol: Sym) -> Value:
        """A symbol as a 64-bit address in its own state space."""
        name, e = symbol.name, fn.emitter
        variable = fn.variable(name)
        if variable is None:
            return self._other_address(fn, symbol)
        if variable.space == "local":
            offset = fn.depot.offsets[name] + symbol.offset
            return e.binary_const("add", fn.local_base(), offset)
        if variable.space == "shared":
            return self._shared_address(fn, variable, symbol.offset)
        owner = fn.function.name if name in fn.function.variables else ""
        if (owner, name) in self.globals:
            number = self.globals[owner, name]
            return e.binary_const("add", self.global_address(fn, number), symbol.offset)
        raise UnsupportedError(
            f"external variable '{name}' (modules are not linked with one another)"
        )

    def global_address(self, fn: Lowering, number: int) -> Value:
        """Where the driver put a global variable."""
        e, at = fn.emitter, self.slots.setdefault(number, len(self.slots))
        slot = e.op("ptr", f"getelementptr i64, ptr @sg_addresses, i64 {at}")
        return e.op("i64", f"load i64, {slot}, !invariant.load !0")

    def _shared_address(self, fn: Lowering, variable: Variable, offset: int) -> Value:
        if variable.bytes:
            return const("i64", self.shared[fn.function.name].offsets[variable.name] + offset)
        start = fn.emitter.resize(fn.field("dynamic_offset", "i32"), 64)
        return fn.emitter.binary_const("add", start, offset)

    def _other_address(self, fn: Lowering, symbol: Sym) -> Value:
        function = self.module.resolve(symbol.name)
        if function in self.numbers:
            if self.module.functions[function].span is None:
                raise UnsupportedError(f"external function '{function}'")
            return const("i64", self.token(function))
        params = layout(fn.function.params)
        if symbol.name in params.offsets:
            return const("i64", params.offsets[symbol.name] + symbol.offset)
        raise PtxError(f"unknown symbol '{symbol.name}' in {fn.where()}")

    def special(self, fn: Lowering, name: str) -> Value:
        """A special register."""
        return special.read(fn, name)

    def site(self, function: Function) -> int:
        """A number for a place in a function, in the order of its places; never 0."""
        count = self._sites[function.name] = self._sites.get(function.name, 0) + 1
        return (self.numbers[function.name] << SITE_BITS) + count
