# SPDX-License-Identifier: Apache-2.0
"""The call table and cuda_abi.h against the vendor's headers, wherever some are installed."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from idm.api.table import Table, load
from idm.gen.prototypes import prototypes, size_assertions

ABI = Path(__file__).parents[2] / "idm" / "csrc"
ALL_VERSIONS = "-D__CUDA_API_VERSION_INTERNAL"
PER_THREAD = "-DCUDA_API_PER_THREAD_DEFAULT_STREAM"
# These two names moved to other numbers when CUDA 12 brought the second version of the functions.
CHANGED_IN_12 = {
    "CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS",
    "CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR",
}


@pytest.fixture(scope="module")
def table() -> Table:
    return load()


@cache
def preprocessed(directory: Path, flag: str) -> str:
    """What the compiler sees of cuda.h."""
    command = ["gcc", "-E", "-P", "-x", "c", "-I", str(directory), flag, "-"]
    done = subprocess.run(
        command, input="#include <cuda.h>\n", text=True, capture_output=True, check=True
    )
    return done.stdout


def names(directory: Path, flag: str = ALL_VERSIONS) -> set[str]:
    """Every word of cuda.h."""
    return set(re.findall(r"\w+", preprocessed(directory, flag)))


def functions(directory: Path, flag: str) -> set[str]:
    """Every function that cuda.h declares; the ones that it defines inline end in a brace."""
    text = preprocessed(directory, flag)
    return set(re.findall(r"CUresult\s+(cu[A-Z]\w*)\s*\([^;{]*\);", text))


def compile_only(source: str, directory: Path, *flags: str) -> None:
    """Let the compiler judge; its complaints are the test's."""
    command = ["gcc", "-std=c11", "-fsyntax-only", "-x", "c", *flags, "-I", str(directory), "-"]
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


def version(directory: Path) -> int:
    match = re.search(r"#define CUDA_VERSION (\d+)", (directory / "cuda.h").read_text())
    assert match
    return int(match[1])


@pytest.mark.parametrize("flag", ["-DNORMAL", ALL_VERSIONS, PER_THREAD])
def test_every_function_has_a_row(headers: Path, table: Table, flag: str) -> None:
    declared = functions(headers, flag)
    assert len(declared) > 300
    assert not declared - set(table.by_symbol)


def test_prototypes_are_the_vendors(headers: Path, table: Table) -> None:
    declared = functions(headers, ALL_VERSIONS)
    ours = prototypes(table, declared.__contains__)
    assert ours.count("\n") > 350
    compile_only(f"#include <cuda.h>\n{ours}", headers, ALL_VERSIONS)


def test_prototypes_of_per_thread_variants_are_the_vendors(headers: Path, table: Table) -> None:
    declared = {s for s in functions(headers, PER_THREAD) if s.endswith(("_ptds", "_ptsz"))}
    ours = prototypes(table, declared.__contains__)
    assert ours.count("\n") > 50
    compile_only(f"#include <cuda.h>\n{ours}", headers, PER_THREAD)


def test_sizes_are_the_vendors(headers: Path, table: Table) -> None:
    known = names(headers)
    compile_only(f"#include <cuda.h>\n{size_assertions(table, known.__contains__)}", headers)


def test_enumerators_are_the_vendors(headers: Path) -> None:
    known = names(headers)
    if version(headers) < 12000:
        known -= CHANGED_IN_12
    ours = "".join(path.read_text() for path in sorted(ABI.glob("cuda_*.h")))
    pairs = re.findall(r"\b((?:CU|CIG)\w+) = (\w+)", ours)
    assert len(pairs) > 600
    checks = [f'_Static_assert({n} == {v}, "{n}");\n' for n, v in pairs if n in known]
    compile_only("#include <cuda.h>\n" + "".join(checks), headers)


def test_constants_are_the_vendors(headers: Path) -> None:
    ours = re.findall(r"#define (CU\w+) (.+)", (ABI / "cuda_abi.h").read_text())
    vendor = (headers / "cuda.h").read_text()
    checks = "".join(
        f'_Static_assert((size_t)({name}) == (size_t)({value}), "{name}");\n'
        for name, value in ours
        if re.search(rf"#define +{name}\b", vendor)
    )
    assert checks.count("\n") > 10
    compile_only(f"#include <stddef.h>\n#include <cuda.h>\n{checks}", headers)


PER_THREAD_SINCE = 7000


def recorded_since(directory: Path) -> dict[str, set[int]]:
    """The versions that the vendor's function pointer types name, by base name and suffix."""
    found: dict[str, set[int]] = {}
    for path in sorted(directory.glob("cuda*Typedefs.h")):
        text = path.read_text()
        for name, since, suffix in re.findall(r"\*\s*PFN_(cu\w+?)_v(\d+)(_pt[ds][sz])?\)", text):
            found.setdefault(name + suffix, set()).add(int(since))
    return found


def stated_since(table: Table, newest: int) -> dict[str, set[int]]:
    """The same from our rows; per-thread variants are never older than CUDA 7."""
    found: dict[str, set[int]] = {}
    for row in table.calls:
        if row.since <= newest:
            found.setdefault(row.base, set()).add(row.since)
            if row.per_thread:
                since = max(row.since, PER_THREAD_SINCE)
                found.setdefault(row.base + row.per_thread, set()).add(since)
    return found


def test_since_is_the_vendors(headers: Path, table: Table) -> None:
    recorded = recorded_since(headers)
    stated = stated_since(table, version(headers))
    recorded.pop("cuWGLGetDevice")  # exists on Windows only
    assert len(recorded) > 400
    assert {name: stated.get(name) for name in recorded} == recorded
