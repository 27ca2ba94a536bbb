# SPDX-License-Identifier: Apache-2.0
"""Builds libvgpu: `python -m libvgpu.build [--cc zig] [--sanitize address,undefined]`.

Generates stubs, descriptors and the function list from the call table into build/libvgpu, compiles
them with libvgpu/csrc and the parts of idm/csrc that the front end shares, and links
libvgpu/_lib/libvgpu.so with the SONAME libcuda.so.1, beside links of the names under which
applications open it. The same prototypes are parsed by cffi (`interface`), through which tests call
the library.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cffi import FFI

from idm import cbuild
from idm.api.table import Table, load
from idm.gen import descriptors, proc_table
from libvgpu import interface, stubs

NAMES = ("libcuda.so.1", "libcuda.so")


def generate(table: Table, out: Path, sources: list[Path]) -> list[Path]:
    """Write the generated sources; the list of C files to compile with the hand-written ones."""
    fronts = stubs.implemented_fronts(sources)
    stubs.check_fronts(table, fronts)
    cbuild.write_if_changed(out / "fronts.h", stubs.fronts_header(fronts))
    cbuild.write_if_changed(out / "exports.map", stubs.version_script(table))
    made = [
        cbuild.write_if_changed(out / "stubs.c", stubs.stubs(table)),
        cbuild.write_if_changed(out / "descriptors.c", descriptors.descriptors(table)),
    ]
    proc_table.write(table, out / "procs.c")
    return [*made, out / "procs.c"]


def build(cc: str = "", sanitize: str = "", out: Path | None = None) -> Path:
    """Build the library and its links; the path of libvgpu.so."""
    root = cbuild.root()
    table = load()
    FFI().cdef(interface.cdef(table))  # an independent parse of what is about to be compiled
    generated = root / "build" / "libvgpu"
    hand_written = sorted((root / "libvgpu" / "csrc").glob("*.c"))
    shared = [root / "idm" / "csrc" / name for name in ("ring.c", "bell.c", "codec.c")]
    shared += sorted((root / "idm" / "csrc" / "interop").glob("*.c"))
    sources = [*generate(table, generated, hand_written), *hand_written, *shared]
    instrument = [f"-fsanitize={sanitize}"] if sanitize else []
    target = (out or root / "libvgpu" / "_lib") / "libvgpu.so"
    cbuild.Library(
        output=target,
        sources=sources,
        includes=[
            root / "idm" / "csrc",
            root / "idm" / "csrc" / "interop",
            root / "libvgpu" / "csrc",
            generated,
        ],
        cc=cbuild.compiler(cc),
        flags=["-fvisibility=default", "-fno-omit-frame-pointer", *instrument],
        link=[
            *instrument,
            "-Wl,-soname,libcuda.so.1",
            f"-Wl,--version-script={generated / 'exports.map'}",
            "-Wl,-z,relro,-z,now,-z,nodelete",
            "-Wl,--no-undefined",
            "-lpthread",
        ],
    ).build()
    for name in NAMES:
        link = target.with_name(name)
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to(target.name)
    return target


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cc", default="", help="gcc (default), or zig for a glibc 2.17 baseline")
    parser.add_argument("--sanitize", default="", help="for instance address,undefined")
    parser.add_argument("--out", type=Path, default=None, help="folder for the library")
    args = parser.parse_args()
    print(build(args.cc, args.sanitize, args.out))


if __name__ == "__main__":
    main()
