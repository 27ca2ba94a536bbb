# SPDX-License-Identifier: Apache-2.0
"""One object: some kernels of a module, or the functions that can be called through pointers, and
the tables that describe them to csrc/loader.c (see csrc/image.h for the structs).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpu_proxy.softgpu.codegen.callgraph import Mode
from gpu_proxy.softgpu.codegen.control import call_shape
from gpu_proxy.softgpu.codegen.image import ImageTables
from gpu_proxy.softgpu.codegen.layout import KERNEL_COROUTINE, KERNEL_NEEDS_FIBERS, THREAD_BYTES
from gpu_proxy.softgpu.codegen.module import COROUTINE_DECLARATIONS, block_function, lower_function
from gpu_proxy.softgpu.codegen.prelude import PRELUDE, PRELUDE_NAMES
from gpu_proxy.softgpu.codegen.program import Program
from gpu_proxy.softgpu.codegen.slots import layout
from gpu_proxy.softgpu.codegen.tables import Tables
from gpu_proxy.softgpu.ptx.ast import Function

MAGIC = 0x32434753
_FLAGS = {Mode.LOOP: 0, Mode.FIBER: KERNEL_NEEDS_FIBERS, Mode.COROUTINE: KERNEL_COROUTINE}
_ENTRY = "{ ptr, i32, i32 }"
_FUNCTION = "{ ptr, i64, i32, i32 }"
_METADATA = ["!0 = !{}", '!1 = !{!"branch_weights", i32 100000, i32 1}']


class Unit:
    """What becomes one object."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._lowered: dict[str, list[str]] = {}
        self._externals: dict[str, str] = {}

    def lower(self, names: Iterable[str]) -> None:
        """Lower these functions, in their module's order. SoftGpuError says what does not work."""
        wanted = set(names)
        for name, function in self.program.module.functions.items():
            if name in wanted and name not in self._lowered and function.span is not None:
                self._lowered[name] = lower_function(self.program, function, self._externals)

    def text(self, kernels: Sequence[Function], *, pointers: bool, index: bool) -> str:
        """LLVM text with these kernels; with the functions that can be called through pointers;
        with the index of the whole module."""
        program = self.program
        callable_ = self._callable() if pointers else []
        names = program.graph.needed(*(f.name for f in (*kernels, *callable_)))
        self.lower(names)
        bodies = [line for name in self._lowered if name in names for line in self._lowered[name]]
        blocks = [line for kernel in kernels for line in block_function(program, kernel)]
        tables = ImageTables(program).emit() if index else []
        tables += _CodeTables(program).emit(kernels, callable_, pointers=pointers)
        declarations = [t for name, t in self._externals.items() if name not in PRELUDE_NAMES]
        parts = [PRELUDE, *COROUTINE_DECLARATIONS, *declarations, *tables, *bodies, *blocks]
        return "\n".join([*parts, *_METADATA, ""])

    def _callable(self) -> list[Function]:
        functions = self.program.module.functions
        taken = (functions[name] for name in self.program.module.address_taken)
        return [f for f in taken if f.span is not None and not f.is_entry]


class _CodeTables(Tables):
    """Collects the constants that say what code is in an object."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    def emit(
        self, kernels: Sequence[Function], callable_: Sequence[Function], *, pointers: bool
    ) -> list[str]:
        program = self.program
        numbers = {kernel.name: n for n, kernel in enumerate(program.kernels)}
        self.array("sg_entries", _ENTRY, [self._entry(k, numbers[k.name]) for k in kernels])
        self.array("sg_functions", _FUNCTION, [self._function(f) for f in callable_])
        self.array("sg_slots", "i32", [f"{number}" for number in program.slots])
        count = max(len(program.slots), 1)
        # Written by the loader.
        self.lines += [
            f"@sg_addresses = internal global [{count} x i64] zeroinitializer, align 8",
            "@sg_table = internal global ptr null, align 8",
        ]
        head = (
            MAGIC,
            THREAD_BYTES,
            len(kernels),
            len(callable_),
            len(program.slots),
            int(pointers),
        )
        tables = ("sg_entries", "sg_functions", "sg_slots", "sg_addresses", "sg_table")
        self.root("sg_code_v1", head, tables)
        return self.lines

    def _entry(self, kernel: Function, number: int) -> str:
        flags = _FLAGS[self.program.graph.mode(kernel.name)]
        return f'{{ ptr @"k.{kernel.name}", i32 {number}, i32 {flags} }}'

    def _function(self, function: Function) -> str:
        shape = call_shape(layout(function.params).bytes, layout(function.returns).bytes)
        number = self.program.numbers[function.name]
        return f'{{ ptr @"f.{function.name}", i64 {shape}, i32 {number}, i32 0 }}'
