# SPDX-License-Identifier: Apache-2.0
"""The tables that describe an image to csrc/loader.c, as LLVM constants; see csrc/image.h for
the structs.
"""

from __future__ import annotations

import struct

from gpu_proxy.softgpu.codegen.callgraph import Mode
from gpu_proxy.softgpu.codegen.control import call_shape
from gpu_proxy.softgpu.codegen.layout import KERNEL_COROUTINE, KERNEL_NEEDS_FIBERS, THREAD_BYTES
from gpu_proxy.softgpu.codegen.program import Program
from gpu_proxy.softgpu.codegen.slots import align_up, layout
from gpu_proxy.softgpu.errors import PtxError, UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Function, Imm, Masked, Sym, Variable

MAGIC = 0x31494753
MAX_THREADS = 1024
_FLAGS = {Mode.LOOP: 0, Mode.FIBER: KERNEL_NEEDS_FIBERS, Mode.COROUTINE: KERNEL_COROUTINE}
_KERNEL = "{ ptr, ptr, ptr, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32 }"
_GLOBAL = "{ ptr, ptr, i64, i32, i32 }"
_POINTER = "{ i32, i32, i64, i64, i32, i32 }"


class ImageTables:
    """Collects the constants."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lines: list[str] = []
        self.pointers: list[str] = []

    def emit(self, kernels: list[Function]) -> list[str]:
        """All tables and sg_image_v1 itself."""
        records = [self._kernel(n, kernel) for n, kernel in enumerate(kernels)]
        variables = [self._global(n, v) for n, v in enumerate(self.program.global_variables)]
        self._array("sg_kernels", _KERNEL, records)
        self._array("sg_globals", _GLOBAL, variables)
        self._array("sg_pointers", _POINTER, self.pointers)
        self._functions()
        count = max(len(variables), 1)
        self.lines.append(
            f"@sg_addresses = internal global [{count} x i64] zeroinitializer, align 8"
        )
        module = self.program.module
        numbers = (
            MAGIC,
            THREAD_BYTES,
            module.version,
            module.target,
            len(records),
            len(variables),
            len(self.pointers),
            0,
        )
        fields = ", ".join(f"i32 {n}" for n in numbers)
        self.lines.append(
            f"@sg_image_v1 = constant {{ {', '.join(['i32'] * 8)}, ptr, ptr, ptr, ptr }} "
            f"{{ {fields}, ptr @sg_kernels, ptr @sg_globals, ptr @sg_pointers, "
            "ptr @sg_addresses }, align 8"
        )
        return self.lines

    def _array(self, name: str, kind: str, items: list[str]) -> None:
        body = (
            "[" + ", ".join(f"{kind} {item}" for item in items) + "]"
            if items
            else "zeroinitializer"
        )
        self.lines.append(f"@{name} = internal constant [{len(items)} x {kind}] {body}, align 8")

    def _bytes(self, name: str, data: bytes, align: int = 1) -> str:
        text = "".join(f"\\{b:02X}" for b in data)
        self.lines.append(
            f'@"{name}" = internal constant [{len(data)} x i8] c"{text}", align {align}'
        )
        return f'ptr @"{name}"'

    def _kernel(self, number: int, kernel: Function) -> str:
        program = self.program
        slots = layout(kernel.params)
        params = [f"{{ i32 {slots.offsets[p.name]}, i32 {p.bytes} }}" for p in kernel.params]
        self._array(f"sg_params_{number}", "{ i32, i32 }", params)
        name = self._bytes(f"sg_name_{number}", kernel.name.encode() + b"\0")
        flags = _FLAGS[program.graph.mode(kernel.name)]
        numbers = (
            len(params),
            slots.bytes,
            program.static_shared_bytes(kernel.name),
            program.depot(kernel)[1],
            align_up(program.local_window(kernel.name), 16),
            kernel.max_threads or MAX_THREADS,
            *kernel.required_block,
            flags,
        )
        tail = ", ".join(f"i32 {n}" for n in numbers)
        return f'{{ {name}, ptr @sg_params_{number}, ptr @"k.{kernel.name}", {tail} }}'

    def _global(self, number: int, variable: Variable) -> str:
        data = self._initial(number, variable)
        name = self._bytes(f"sg_global_name_{number}", variable.name.encode() + b"\0")
        init = self._bytes(f"sg_init_{number}", data, 16) if any(data) else "ptr null"
        constant = int(variable.space == "const")
        return f"{{ {name}, {init}, i64 {variable.bytes}, i32 {variable.align}, i32 {constant} }}"

    def _initial(self, number: int, variable: Variable) -> bytes:
        """The initial bytes; addresses of other variables become entries of sg_pointers."""
        width = variable.element_bytes // variable.vector
        data = bytearray(variable.bytes if variable.init else 0)
        for n, item in enumerate(variable.init or ()):
            start = n * width
            if isinstance(item, Imm):
                data[start : start + width] = _encode(item, variable.type, width)
                continue
            symbol, shift = (
                (item.symbol, _shift(item.mask)) if isinstance(item, Masked) else (item, 0)
            )
            value = self._token(symbol)
            if value is None:
                self._pointer(number, start, symbol, width, shift)
            else:
                data[start : start + width] = (value >> shift & ((1 << 8 * width) - 1)).to_bytes(
                    width, "little"
                )
        return bytes(data)

    def _token(self, symbol: Sym) -> int | None:
        name = self.program.graph.resolve(symbol.name)
        if name not in self.program.module.functions:
            return None
        if self.program.module.functions[name].body is None:
            raise UnsupportedError(
                f"the address of external function '{name}' is not supported by the software GPU"
            )
        return self.program.token(name)

    def _pointer(self, number: int, offset: int, symbol: Sym, width: int, shift: int) -> None:
        target = self.program.globals.get(symbol.name)
        if target is None:
            raise PtxError(
                f"initialiser with the address of '{symbol.name}', "
                "which is no variable of this module"
            )
        self.pointers.append(
            f"{{ i32 {number}, i32 {target}, i64 {offset}, i64 {symbol.offset}, "
            f"i32 {width}, i32 {shift} }}"
        )

    def _functions(self) -> None:
        """Functions that can be called through pointers, in the order of their tokens."""
        items = []
        for name in self.program.tokens:
            function = self.program.module.functions[name]
            if function.body is None or function.is_entry:
                items.append("{ ptr null, i64 -1 }")
                continue
            shape = call_shape(layout(function.params).bytes, layout(function.returns).bytes)
            items.append(f'{{ ptr @"f.{name}", i64 {shape} }}')
        self._array("sg_functions", "{ ptr, i64 }", items)


def _shift(mask: int) -> int:
    """0xFF00 -> 8"""
    return (mask & -mask).bit_length() - 1 if mask else 0


def _encode(item: Imm, kind: str, width: int) -> bytes:
    bits = item.bits
    if item.kind == "f64" and kind == "f32":
        value = struct.unpack("<d", struct.pack("<Q", bits))[0]
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
    elif item.kind == "f32" and kind == "f64":
        value = struct.unpack("<f", struct.pack("<I", bits))[0]
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    return (bits & ((1 << 8 * width) - 1)).to_bytes(width, "little")
