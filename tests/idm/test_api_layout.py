# SPDX-License-Identifier: Apache-2.0
"""Our structures against the table's sizes, and field by field against the vendor's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pycparser import c_ast, c_parser  # type: ignore[import-untyped]

from idm.api.table import load
from idm.gen.prototypes import prototypes, size_assertions

ABI = Path(__file__).parents[2] / "idm" / "csrc"
ALL_VERSIONS = "-D__CUDA_API_VERSION_INTERNAL"
# What the parser needs of the C library, and nothing that it cannot read.
PLAIN = """
#define _STDLIB_H
#define _STDDEF_H
#define _STDINT_H
#define __attribute__(x)
typedef unsigned long size_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef unsigned long uint64_t;
"""

# What newer versions take fields from.
PADDING = ("reserved", "pad", "_")
PRINT = """
#include <stddef.h>
#include <stdio.h>
#include <%(header)s>
static const struct { const char *name; size_t offset, size; } fields[] = {%(rows)s};
int main(void)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        printf("%%s:%%zu+%%zu\\n", fields[i].name, fields[i].offset, fields[i].size);
    return 0;
}
"""


def gcc(arguments: list[str], source: str) -> str:
    """Run the compiler on a source; its complaints are the test's."""
    command = ["gcc", "-std=c11", "-x", "c", *arguments, "-"]
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    return done.stdout


class Header:
    """The structures of one header, parsed."""

    def __init__(self, directory: Path, name: str) -> None:
        self.include = ["-I", str(directory), ALL_VERSIONS]
        self.name = name
        text = gcc(["-E", "-P", *self.include], f"{PLAIN}#include <{name}>\n")
        tree = c_parser.CParser().parse(text)
        self.typedefs = {n.name: n.type for n in tree.ext if isinstance(n, c_ast.Typedef)}
        self.tagged: dict[str, c_ast.Node] = {}
        for node in tree.ext:
            inner = getattr(getattr(node, "type", None), "type", getattr(node, "type", None))
            if isinstance(inner, c_ast.Struct | c_ast.Union) and inner.decls and inner.name:
                self.tagged[inner.name] = inner

    def aggregate(self, node: c_ast.Node) -> c_ast.Node | None:
        """The structure or union that a type is, if it is one."""
        if isinstance(node, c_ast.TypeDecl):
            return self.aggregate(node.type)
        if isinstance(node, c_ast.IdentifierType):
            target = self.typedefs.get(node.names[0])
            return self.aggregate(target) if target is not None else None
        if isinstance(node, c_ast.Struct | c_ast.Union):
            return node if node.decls else self.tagged.get(node.name)
        return None

    def fields(self, node: c_ast.Node, prefix: str = "") -> Iterator[str]:
        """The path of every field of a structure that is neither a structure nor padding."""
        for field in node.decls:
            if (field.name or "").startswith(PADDING):
                continue
            inner = self.aggregate(field.type)
            if inner is None:
                yield f"{prefix}{field.name}"
            else:
                yield from self.fields(inner, f"{prefix}{field.name}." if field.name else prefix)

    def structures(self) -> dict[str, set[str]]:
        """The fields of every named structure."""
        found = {name: self.aggregate(type_) for name, type_ in self.typedefs.items()}
        return {name: set(self.fields(node)) for name, node in found.items() if node is not None}

    def layout(self, wanted: dict[str, set[str]], program: Path) -> list[str]:
        """Offset and size of every wanted field, as the compiler has them."""
        rows = [
            f'{{"{name}.{path}", offsetof({name}, {path}), sizeof((({name} *)0)->{path})}},'
            for name, paths in wanted.items()
            for path in sorted(paths)
        ]
        source = PRINT % {"header": self.name, "rows": "\n".join(rows)}
        gcc([*self.include, "-o", str(program)], source)
        return subprocess.run([program], text=True, capture_output=True, check=True).stdout.split()


def test_prototypes_and_sizes_fit_our_header() -> None:
    table = load()
    source = f'#include "cuda_abi.h"\n{prototypes(table)}{size_assertions(table)}'
    gcc(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", str(ABI)], source)


def test_fields_are_the_vendors(headers: Path, tmp_path: Path) -> None:
    ours, theirs = Header(ABI, "cuda_abi.h"), Header(headers, "cuda.h")
    known = theirs.structures()
    common = {n: paths & known[n] for n, paths in ours.structures().items() if n in known}
    if "CUDA_KERNEL_NODE_PARAMS_v2" not in known:
        common.pop("CUDA_KERNEL_NODE_PARAMS")  # CUDA 12 gave the plain name to another structure.
    assert sum(map(len, common.values())) > 150
    assert ours.layout(common, tmp_path / "ours") == theirs.layout(common, tmp_path / "theirs")


def test_all_our_fields_exist(all_headers: list[Path]) -> None:
    known: dict[str, set[str]] = {}
    newest = False
    for directory in all_headers:
        newest |= "#define CUDA_VERSION 13050" in (directory / "cuda.h").read_text()
        for name, paths in Header(directory, "cuda.h").structures().items():
            known.setdefault(name, set()).update(paths)
    if not newest:
        pytest.skip("no cuda.h of CUDA 13.5: set CUDA_HEADERS")
    ours = Header(ABI, "cuda_abi.h").structures()
    ours.pop("idm_color")
    extra = {name: paths - known.get(name, set()) for name, paths in ours.items()}
    assert not {name: paths for name, paths in extra.items() if paths}
