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

DEPOT_ALIGN = 16


class Program:
    """A PTX module on its way to LLVM."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.graph = CallGraph(module)
        self.globals: dict[str, int] = {}
        self.global_variables: list[Variable] = []
        self.tokens = {name: n for n, name in enumerate(self.graph.address_taken)}
        self.depots: dict[str, Slots] = {}
        self.strings: dict[bytes, str] = {}
        self.sites = 0
        for variable in self._all_variables():
            self._add_global(variable)
        self.has_dynamic_shared = any(
            v.space == "shared" and not v.bytes for v in self._all_variables()
        )
        self._lay_out_shared()

    def _all_variables(self) -> list[Variable]:
        inner = [
            v for function in self.module.functions.values() for v in function.variables.values()
        ]
        return [*self.module.variables.values(), *inner]

    def _add_global(self, variable: Variable) -> None:
        if variable.space in ("global", "const") and not variable.external:
            self.globals[variable.name] = len(self.global_variables)
            self.global_variables.append(variable)

    # --- shared memory
    # ------------------------------------------------------------------------------

    def _lay_out_shared(self) -> None:
        """Variables that device functions use lie at the same place in every kernel; a kernel's
        own follow.
        """
        common = Slots()
        reserved = special.RESERVED_SHARED_BYTES if self.graph.reserved_shared else 0
        common.bytes = reserved
        for function in self.module.functions.values():
            if not function.is_entry:
                for variable in self._shared_used(function):
                    common.add(variable)
        self.shared: dict[str, Slots] = {}
        self.dynamic_align = max(
            [16, *(v.align for v in self.module.variables.values() if v.space == "shared")]
        )
        for function in self.module.functions.values():
            used = self.graph.reachable(function.name)
            needs_common = any(
                self._shared_used(self.module.functions[name])
                for name in used
                if not self.module.functions[name].is_entry
            )
            slots = Slots(
                dict(common.offsets),
                common.bytes if needs_common or not function.is_entry else reserved,
            )
            for variable in self._shared_used(function):
                slots.add(variable)
            self.shared[function.name] = slots

    def _shared_used(self, function: Function) -> list[Variable]:
        found = [v for v in function.variables.values() if v.space == "shared" and v.bytes]
        for name in self.graph.uses[function.name]:
            variable = self.module.variables.get(name)
            if (
                variable
                and variable.space == "shared"
                and variable.bytes
                and name not in function.variables
            ):
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
            for variable in function.variables.values():
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
        return FUNCTION_TOKEN_BASE | (self.tokens[name] + 1) << FUNCTION_TOKEN_SHIFT

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
        if variable.name in self.globals:
            return e.binary_const("add", self.global_address(fn, variable.name), symbol.offset)
        raise UnsupportedError(
            f"external variable '{name}' (modules are not linked with one another)"
        )

    def global_address(self, fn: Lowering, name: str) -> Value:
        """Where the driver put a global variable."""
        e = fn.emitter
        slot = e.op("ptr", f"getelementptr i64, ptr @sg_addresses, i64 {self.globals[name]}")
        return e.op("i64", f"load i64, {slot}, !invariant.load !0")

    def _shared_address(self, fn: Lowering, variable: Variable, offset: int) -> Value:
        if variable.bytes:
            return const("i64", self.shared[fn.function.name].offsets[variable.name] + offset)
        start = fn.emitter.resize(fn.field("dynamic_offset", "i32"), 64)
        return fn.emitter.binary_const("add", start, offset)

    def _other_address(self, fn: Lowering, symbol: Sym) -> Value:
        function = self.graph.resolve(symbol.name)
        if function in self.tokens:
            if self.module.functions[function].body is None:
                raise UnsupportedError(f"external function '{function}'")
            return const("i64", self.token(function))
        params = layout(fn.function.params)
        if symbol.name in params.offsets:
            return const("i64", params.offsets[symbol.name] + symbol.offset)
        raise PtxError(f"unknown symbol '{symbol.name}' in {fn.where()}")

    def special(self, fn: Lowering, name: str) -> Value:
        """A special register."""
        return special.read(fn, name)

    def site(self) -> int:
        """A number for a place in the program."""
        self.sites += 1
        return self.sites
