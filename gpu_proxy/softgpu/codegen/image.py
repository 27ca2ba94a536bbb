# SPDX-License-Identifier: Apache-2.0
"""The tables that describe an image to csrc/loader.c, as LLVM constants; see csrc/image.h for
the structs.
"""

from __future__ import annotations

import struct

from gpu_proxy.softgpu.codegen.layout import THREAD_BYTES
from gpu_proxy.softgpu.codegen.program import Program
from gpu_proxy.softgpu.codegen.slots import align_up, layout
from gpu_proxy.softgpu.codegen.tables import Tables
from gpu_proxy.softgpu.errors import PtxError, UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Function, Imm, Masked, Sym, Variable

MAGIC = 0x32494753
MAX_THREADS = 1024
MAX_PARAM_BYTES = 32_764
_KERNEL = "{ ptr, ptr, i32, i32, i32, i32, i32, i32, i32, i32, i32 }"
_GLOBAL = "{ ptr, ptr, i64, i32, i32 }"
_POINTER = "{ i32, i32, i64, i64, i32, i32 }"


class ImageTables(Tables):
    """Collects the constants that say what is in a module."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.pointers: list[str] = []

    def emit(self) -> list[str]:
        """All tables and sg_image_v1 itself."""
        module = self.program.module
        records = [self._kernel(n, kernel) for n, kernel in enumerate(self.program.kernels)]
        variables = [
            self._global(n, owner, variable)
            for n, ((owner, _), variable) in enumerate(
                zip(self.program.globals, self.program.global_variables, strict=True)
            )
        ]
        self.array("sg_kernels", _KERNEL, records)
        self.array("sg_globals", _GLOBAL, variables)
        self.array("sg_pointers", _POINTER, self.pointers)
        numbers = (
            MAGIC,
            THREAD_BYTES,
            module.version,
            module.target,
            len(records),
            len(variables),
            len(self.pointers),
            len(module.functions),
        )
        self.root("sg_image_v1", numbers, ("sg_kernels", "sg_globals", "sg_pointers"))
        return self.lines

    def _kernel(self, number: int, kernel: Function) -> str:
        program = self.program
        slots = layout(kernel.params)
        if slots.bytes > MAX_PARAM_BYTES:
            raise PtxError(
                f"kernel '{kernel.name}' has more than {MAX_PARAM_BYTES} bytes of parameters",
                kernel.line,
            )
        params = [f"{{ i32 {slots.offsets[p.name]}, i32 {p.bytes} }}" for p in kernel.params]
        self.array(f"sg_params_{number}", "{ i32, i32 }", params)
        name = self.bytes(f"sg_name_{number}", kernel.name.encode() + b"\0")
        numbers = (
            len(params),
            slots.bytes,
            program.static_shared_bytes(kernel.name),
            align_up(program.local_window(kernel.name), 16),
            kernel.max_threads or MAX_THREADS,
            *kernel.required_block,
            int(program.graph.calls_pointers(kernel.name)),
        )
        tail = ", ".join(f"i32 {n}" for n in numbers)
        return f"{{ {name}, ptr @sg_params_{number}, {tail} }}"

    def _global(self, number: int, owner: str, variable: Variable) -> str:
        data = self._initial(number, owner, variable)
        name = self.bytes(f"sg_global_name_{number}", variable.name.encode() + b"\0")
        init = self.bytes(f"sg_init_{number}", data, 16) if any(data) else "ptr null"
        constant = int(variable.space == "const")
        return f"{{ {name}, {init}, i64 {variable.bytes}, i32 {variable.align}, i32 {constant} }}"

    def _initial(self, number: int, owner: str, variable: Variable) -> bytes:
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
                target = self._target(owner, symbol)
                self.pointers.append(
                    f"{{ i32 {number}, i32 {target}, i64 {start}, i64 {symbol.offset}, "
                    f"i32 {width}, i32 {shift} }}"
                )
            else:
                data[start : start + width] = (value >> shift & ((1 << 8 * width) - 1)).to_bytes(
                    width, "little"
                )
        return bytes(data)

    def _token(self, symbol: Sym) -> int | None:
        name = self.program.module.resolve(symbol.name)
        if name not in self.program.module.functions:
            return None
        if self.program.module.functions[name].span is None:
            raise UnsupportedError(
                f"the address of external function '{name}' is not supported by the software GPU"
            )
        return self.program.token(name)

    def _target(self, owner: str, symbol: Sym) -> int:
        for key in ((owner, symbol.name), ("", symbol.name)):
            if key in self.program.globals:
                return self.program.globals[key]
        raise PtxError(
            f"initialiser with the address of '{symbol.name}', which is no variable of this module"
        )


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
