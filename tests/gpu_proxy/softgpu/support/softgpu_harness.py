# SPDX-License-Identifier: Apache-2.0

"""Drives the execution engine through ctypes: builds it with gcc, gives it an arena, compiles and runs PTX."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from demo import toolkit
from gpu_proxy.softgpu import compiler, jobs

CSRC = Path(compiler.__file__).parent / "csrc"
FLAGS = [
    "-std=gnu11",
    "-O2",
    "-g",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wconversion",
    "-Wshadow",
    "-Wvla",
]
ARENA_BYTES = 1 << 30
USABLE_BYTES = 256 << 20
ERROR_BYTES = 512

FAULT_NAMES = [
    "NONE",
    "ILLEGAL_ADDRESS",
    "MISALIGNED",
    "ILLEGAL_INSTRUCTION",
    "TRAP",
    "ASSERT",
    "STACK_OVERFLOW",
    "HARDWARE",
    "CANCELLED",
]

_CHECK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int)
_PRINT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)


class _Memory(ctypes.Structure):
    _fields_ = [
        ("arena_base", ctypes.c_uint64),
        ("arena_bytes", ctypes.c_uint64),
        ("check", _CHECK),
        ("print", _PRINT),
    ]


class _Fault(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_int),
        ("address", ctypes.c_uint64),
        ("text", ctypes.c_char * ERROR_BYTES),
    ]


class _Param(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_uint32), ("bytes", ctypes.c_uint32)]


class _Kernel(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("param_count", ctypes.c_uint32),
        ("param_bytes", ctypes.c_uint32),
        ("params", ctypes.POINTER(_Param)),
        ("static_shared_bytes", ctypes.c_uint32),
        ("local_bytes", ctypes.c_uint32),
        ("max_threads", ctypes.c_uint32),
        ("required_block", ctypes.c_uint32 * 3),
        ("ptx_version", ctypes.c_uint32),
        ("target", ctypes.c_uint32),
        ("calls_pointers", ctypes.c_uint32),
        ("image", ctypes.c_void_p),
        ("code", ctypes.c_void_p),
    ]


class _Global(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("bytes", ctypes.c_uint64),
        ("align", ctypes.c_uint32),
        ("is_constant", ctypes.c_uint32),
        ("init", ctypes.c_void_p),
    ]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("kernel", ctypes.POINTER(_Kernel)),
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("dynamic_shared_bytes", ctypes.c_uint32),
        ("params", ctypes.c_void_p),
        ("cooperative", ctypes.c_int),
        ("cancel", ctypes.c_void_p),
    ]


class KernelFault(Exception):
    """A launch that failed."""

    def __init__(self, fault: _Fault) -> None:
        self.kind = FAULT_NAMES[fault.kind]
        self.address = fault.address
        self.text = fault.text.decode()
        super().__init__(f"{self.kind}: {self.text}")


@functools.cache
def build_engine() -> Path:
    """libsgengine.so, in a temporary directory of this test run."""
    target = Path(tempfile.mkdtemp(prefix="sgengine-")) / "libsgengine.so"
    sources = sorted(map(str, CSRC.glob("*.c")))
    subprocess.run(
        ["gcc", *FLAGS, "-shared", "-o", str(target), *sources, "-lm", "-lpthread"], check=True
    )
    return target


class Image:
    """A loaded module."""

    def __init__(self, gpu: Gpu, handle: int) -> None:
        self.gpu = gpu
        self.handle = handle
        lib = gpu.lib
        self.kernels = {}
        for i in range(lib.sg_image_kernel_count(handle)):
            kernel = lib.sg_image_kernel(handle, i)
            self.kernels[kernel.contents.name.decode()] = kernel
        self.globals: dict[str, tuple[int, int]] = {}
        for i in range(lib.sg_image_global_count(handle)):
            variable = lib.sg_image_global(handle, i).contents
            address = gpu.alloc_bytes(max(variable.bytes, 1))
            self.globals[variable.name.decode()] = (address, variable.bytes)
            lib.sg_image_bind(handle, i, address)
        assert lib.sg_image_finish(handle) == 0

    def run(
        self,
        name: str,
        grid: Any,
        block: Any,
        *args: Any,
        shared: int = 0,
        cooperative: bool = False,
        cancel: int | None = None,
    ) -> None:
        """Launch; ints fill their parameter's size, numpy scalars and bytes are taken as they are."""
        kernel = self.kernels[name].contents
        buffer = bytearray(kernel.param_bytes)
        assert kernel.param_count == len(args)
        for n, arg in enumerate(args):
            slot = kernel.params[n]
            data = _encode(arg, slot.bytes)
            assert len(data) == slot.bytes, (n, arg, slot.bytes)
            buffer[slot.offset : slot.offset + slot.bytes] = data
        params = (ctypes.c_char * max(len(buffer), 1)).from_buffer_copy(bytes(buffer) or b"\0")
        launch = _Launch(
            self.kernels[name],
            _dim(grid),
            _dim(block),
            shared,
            ctypes.addressof(params),
            cooperative,
            cancel,
        )
        fault = _Fault()
        if self.gpu.lib.sg_run(ctypes.byref(launch), ctypes.byref(fault)) != 0:
            raise KernelFault(fault)

    def read_global(self, name: str) -> bytes:
        """A global's current bytes."""
        return ctypes.string_at(*self.globals[name])

    def add(self, compiled: bytes) -> None:
        """Load more code of this module."""
        error = ctypes.create_string_buffer(ERROR_BYTES)
        if self.gpu.lib.sg_image_add(self.handle, compiled, len(compiled), error) != 0:
            raise ValueError(error.value.decode())

    def is_ready(self, name: str) -> bool:
        """Whether a kernel has code."""
        return bool(self.gpu.lib.sg_kernel_is_ready(self.kernels[name]))

    def unload(self) -> None:
        """Free the image."""
        self.gpu.lib.sg_image_unload(self.handle)


class LazyImage(Image):
    """A module whose kernels are compiled one by one, when they are first run."""

    def __init__(self, gpu: Gpu, handle: int, image: bytes, outline: bytes) -> None:
        super().__init__(gpu, handle)
        self.image, self.outline = image, outline

    def run(self, name: str, *args: Any, **options: Any) -> None:
        """Compile the kernel and what it needs, then launch it."""
        if not self.is_ready(name):
            if self.kernels[name].contents.calls_pointers and not self._has_functions():
                self.add(jobs.compile_functions(self.image, self.outline))
            number = list(self.kernels).index(name)
            self.add(jobs.compile_kernel(self.image, self.outline, number))
        super().run(name, *args, **options)

    def _has_functions(self) -> bool:
        return bool(self.gpu.lib.sg_image_has_functions(self.handle))


def _encode(arg: Any, size: int) -> bytes:
    if isinstance(arg, bytes):
        return arg
    if isinstance(arg, Buffer):
        return arg.address.to_bytes(8, "little")
    if isinstance(arg, np.generic):
        return arg.tobytes()
    return (int(arg) & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _dim(value: Any) -> Any:
    sizes = (value,) if isinstance(value, int) else tuple(value)
    return (ctypes.c_uint32 * 3)(*(*sizes, 1, 1, 1)[:3])


class Buffer:
    """An array in the arena."""

    def __init__(self, address: int, dtype: Any, count: int) -> None:
        self.address = address
        self.dtype = np.dtype(dtype)
        self.count = count

    def get(self) -> Any:
        """Its current content."""
        return np.frombuffer(
            ctypes.string_at(self.address, self.count * self.dtype.itemsize), self.dtype
        ).copy()


class Gpu:
    """The engine with an arena. One for the whole test run, since an engine is started once."""

    def __init__(self, threads: int = 0) -> None:
        self.lib = ctypes.CDLL(str(build_engine()))
        self._declare()
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_long,
        ]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
        self.arena = libc.mmap(None, ARENA_BYTES, 0, flags, -1, 0)
        assert libc.mprotect(self.arena, USABLE_BYTES, mmap.PROT_READ | mmap.PROT_WRITE) == 0
        self.next = self.arena
        self.printed = b""
        self.allowed: list[tuple[int, int]] = []
        self._check = _CHECK(self._check_host)
        self._print = _PRINT(self._print_text)
        self.memory = _Memory(self.arena, ARENA_BYTES, self._check, self._print)
        assert self.lib.sg_engine_start(threads, ctypes.byref(self.memory)) == 0

    def _declare(self) -> None:
        lib = self.lib
        lib.sg_image_load.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.c_char_p,
        ]
        for name in ("sg_image_kernel_count", "sg_image_global_count"):
            getattr(lib, name).argtypes = [ctypes.c_void_p]
            getattr(lib, name).restype = ctypes.c_size_t
        lib.sg_image_kernel.argtypes = lib.sg_image_global.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
        ]
        lib.sg_image_kernel.restype = ctypes.POINTER(_Kernel)
        lib.sg_image_global.restype = ctypes.POINTER(_Global)
        lib.sg_image_bind.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]
        lib.sg_image_finish.argtypes = lib.sg_image_unload.argtypes = [ctypes.c_void_p]
        lib.sg_image_unload.restype = None
        lib.sg_image_add.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
        ]
        lib.sg_kernel_is_ready.argtypes = [ctypes.POINTER(_Kernel)]
        lib.sg_image_has_functions.argtypes = [ctypes.c_void_p]

    def _check_host(self, address: int, size: int, _is_write: int) -> int:
        return int(
            any(
                start <= address and address + size <= start + count
                for start, count in self.allowed
            )
        )

    def _print_text(self, text: int, size: int) -> None:
        self.printed += ctypes.string_at(text, size)

    def reset(self) -> None:
        """Forget all allocations and output."""
        self.next = self.arena
        self.printed = b""
        self.allowed = []

    def alloc_bytes(self, size: int) -> int:
        """Bytes of the arena, aligned to 256."""
        address = self.next
        self.next += -(-size // 256) * 256
        assert self.next <= self.arena + USABLE_BYTES
        return address

    def put(self, values: Any, dtype: Any = None) -> Buffer:
        """Copy an array into the arena."""
        array = np.ascontiguousarray(values, dtype)
        buffer = Buffer(self.alloc_bytes(max(array.nbytes, 1)), array.dtype, array.size)
        ctypes.memmove(buffer.address, array.tobytes(), array.nbytes)
        return buffer

    def zeros(self, count: int, dtype: Any) -> Buffer:
        """An array of zeros."""
        return self.put(np.zeros(count, dtype))

    def load_object(self, compiled: bytes) -> Image:
        """Load an object file."""
        return Image(self, self._load(compiled))

    def load_lazily(self, ptx: str, loaded: bytes = b"") -> LazyImage:
        """Load PTX as if it was large; `loaded` is what the helper would have kept."""
        loaded = loaded or jobs.load(ptx.encode(), compile_small=False)
        outline, index = jobs.split_loaded(loaded)
        return LazyImage(self, self._load(index), ptx.encode(), outline)

    def _load(self, compiled: bytes) -> int:
        handle = ctypes.c_void_p()
        error = ctypes.create_string_buffer(ERROR_BYTES)
        result = self.lib.sg_image_load(compiled, len(compiled), ctypes.byref(handle), error)
        if result != 0:
            raise ValueError(error.value.decode())
        assert handle.value is not None
        return handle.value

    def compile(self, ptx: str) -> Image:
        """Compile and load PTX."""
        return self.load_object(jobs.compile_whole(ptx.encode()))


def kernel(
    params: str,
    body: str,
    *,
    name: str = "k",
    before: str = "",
    target: int = 80,
    version: str = "8.5",
) -> str:
    """PTX with one kernel; `params` like "u64 a, f32 b"."""
    declared = []
    for param in filter(None, (p.strip() for p in params.split(","))):
        kind, param_name = param.split()
        declared.append(f".param .{kind} {param_name}")
    return (
        f".version {version}\n.target sm_{target}\n.address_size 64\n{before}\n"
        f".visible .entry {name}({', '.join(declared)})\n{{\n"
        ".reg .pred %p<20>;\n.reg .b16 %h<20>;\n.reg .b32 %r<50>;\n.reg .b64 %d<50>;\n.reg .f32 %f<20>;\n.reg .f64 %e<20>;\n"
        f"{body}\nret;\n}}\n"
    )


@functools.cache
def nvcc() -> str | None:
    """A CUDA compiler, if the toolkit is installed."""
    found = shutil.which("nvcc")
    if found:
        return found
    return str(toolkit.nvcc()) if toolkit.is_installed("compiler", "13", "cccl") else None


def _includes() -> list[str]:
    """Header folders of the toolkit from PyPI, whose parts are installed apart."""
    if shutil.which("nvcc"):
        return []
    folders = [toolkit.path(part) / "include" for part in ("13", "cccl")]
    return [f"-I{folder}" for folder in (*folders, folders[1] / "cccl")]


def cuda_to_ptx(source: str, *options: str, arch: str = "compute_80", kind: str = "-ptx") -> bytes:
    """Compile CUDA C++ with nvcc."""
    compiler_path = nvcc()
    assert compiler_path is not None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "kernel.cu"
        path.write_text(source)
        output = Path(directory) / "kernel.out"
        command = [compiler_path, f"-arch={arch}", kind, *_includes(), *options]
        command += [str(path), "-o", str(output)]
        subprocess.run(command, check=True, env={**os.environ, "TMPDIR": directory})
        return output.read_bytes()


def run_python(code: str, arguments: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
