# SPDX-License-Identifier: Apache-2.0
"""What the compile helper does for a request, in a child of its own: images to objects.

Loading an image gives its index: the names and sizes of all that is in it. The kernels of a small
image come with it, those of a large one are compiled one by one when they are wanted. Malformed PTX
fails the load; what the software GPU cannot do fails the kernel that needs it.
"""

from __future__ import annotations

import contextlib
import struct

import msgspec

from gpu_proxy.softgpu import native
from gpu_proxy.softgpu.codegen import Program, Unit
from gpu_proxy.softgpu.errors import ImageError, UnsupportedError
from gpu_proxy.softgpu.fatbin import find_ptx
from gpu_proxy.softgpu.ptx import outline
from gpu_proxy.softgpu.ptx.ast import Function, Module

# PTX up to this size is lowered when it is loaded, so that every error in it shows; in longer texts
# only the bodies that the quick examination did not accept.
CHECKED_BYTES = 256 << 10
# Kernels up to this size together are compiled when they are loaded, and so is a single one.
COMPILED_BYTES = 32 << 10

_OUTLINE_BYTES = struct.Struct("<Q")


def load(image: bytes, *, compile_small: bool = True) -> bytes:
    """The outline of an image, for later, and an object with its index."""
    text = find_ptx(image)
    module = outline.make_outline(text)
    kept = outline.encode(module)
    unit = Unit(Program(module, text))
    everything = len(text) <= CHECKED_BYTES
    _check(unit, [f for f in module.functions.values() if everything or f.body is not None])
    kernels = unit.program.kernels
    wanted = compile_small and (len(kernels) == 1 or _bytes(module) <= COMPILED_BYTES)
    kernels = [k for k in kernels if wanted and _works(unit, k)]
    pointers = any(unit.program.graph.calls_pointers(kernel.name) for kernel in kernels)
    compiled = native.compile_text(unit.text(kernels, pointers=pointers, index=True))
    return _OUTLINE_BYTES.pack(len(kept)) + kept + compiled


def split_loaded(data: bytes) -> tuple[bytes, bytes]:
    """Outline and object of what `load` returned. Not all bytes from a disk are what was written:
    then the object is cut short, and its reader says so."""
    (count,) = _OUTLINE_BYTES.unpack_from(data.ljust(_OUTLINE_BYTES.size, b"\0"))
    start = _OUTLINE_BYTES.size
    return data[start : start + count], data[start + count :]


def compile_kernel(image: bytes, kept: bytes, number: int) -> bytes:
    """An object with one kernel."""
    program = _program(image, kept)
    if number >= len(program.kernels):
        raise ImageError(f"the image has no kernel of number {number}")
    unit = Unit(program)
    return native.compile_text(unit.text([program.kernels[number]], pointers=False, index=False))


def compile_functions(image: bytes, kept: bytes) -> bytes:
    """An object with the functions that can be called through pointers."""
    unit = Unit(_program(image, kept))
    return native.compile_text(unit.text([], pointers=True, index=False))


def compile_whole(image: bytes) -> bytes:
    """An object with the index and everything else."""
    text = find_ptx(image)
    unit = Unit(Program(outline.make_outline(text), text))
    return native.compile_text(unit.text(unit.program.kernels, pointers=True, index=True))


def _program(image: bytes, kept: bytes) -> Program:
    text = find_ptx(image)
    try:
        module = outline.decode(kept)
    except msgspec.DecodeError:  # Nothing was kept, or a disk has lost some of it.
        module = outline.make_outline(text)
    return Program(module, text)


def _check(unit: Unit, functions: list[Function]) -> None:
    """Find what is malformed; what the software GPU lacks is for later."""
    for function in functions:
        with contextlib.suppress(UnsupportedError):
            unit.lower([function.name])


def _works(unit: Unit, kernel: Function) -> bool:
    """Whether a kernel needs nothing that the software GPU lacks."""
    try:
        unit.lower(unit.program.graph.reachable(kernel.name))
    except UnsupportedError:
        return False
    return True


def _bytes(module: Module) -> int:
    spans = (function.span for function in module.functions.values())
    return sum(span.end - span.start for span in spans if span is not None)
