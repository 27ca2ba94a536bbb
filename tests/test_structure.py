# SPDX-License-Identifier: Apache-2.0
"""House rules that a test can hold: imports run one way, generated pages are true, files stay short."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from idm.api.table import load
from idm.gen import coverage

ROOT = Path(__file__).resolve().parents[1]
# Who may import whom: libvgpu -> idm <- gpu_proxy <- cri_runtime. The command line shows libvgpu's path.
ALLOWED = {
    "idm": {"idm"},
    "libvgpu": {"libvgpu", "idm"},
    "gpu_proxy": {"gpu_proxy", "idm"},
    "kernel-builder": set(),
}
EXCEPTIONS = {("gpu_proxy/cli/", "libvgpu")}
LINES_MAX = 500


def sources(pattern):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).exists()]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_run_one_way(package):
    for path in sources(f"{package}/*.py"):
        name = str(path.relative_to(ROOT))
        for other in set(imported(path)) & {*ALLOWED, "cri_runtime", "tests", "demo"}:
            if any(name.startswith(start) and other == what for start, what in EXCEPTIONS):
                continue
            assert other in ALLOWED[package], f"{name} imports {other}"


def test_the_coverage_page_is_current():
    assert (ROOT / "docs" / "coverage.md").read_text() == coverage.page(load()), (
        "make coverage-page"
    )


def test_every_source_file_states_its_licence_and_can_be_read_in_one_sitting():
    for path in [*sources("*.py"), *sources("*.c"), *sources("*.h")]:
        lines = path.read_text().splitlines()
        assert any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:2]), path
        short = len(lines) <= LINES_MAX or "tests" in path.parts
        assert short, f"{path} has {len(lines)} lines"


def test_device_memory_is_charged_in_one_place():
    asking = re.compile(r"\.(?:charge|release)\(\s*\"device\"")
    found = {str(path.relative_to(ROOT)) for path in sources("gpu_proxy/*.py")
             if asking.search(path.read_text())}  # fmt: skip
    assert found == {"gpu_proxy/account/holdings.py"}


def test_nothing_names_a_machine():
    for path in sources("*"):
        if path.suffix in (".png", ".svg") or path.name == "test_structure.py":
            continue
        text = path.read_text(errors="replace")
        assert not re.search(r"/(root|home)/\w+/", text), path
        assert str(ROOT) not in text, path


def test_a_forked_child_gets_every_lock_of_the_front_end_anew():
    """libvgpu/csrc/fork.c renews those that are declared by the macros, and the process's own two."""
    by_hand = {"vgpu.h": 2, "connect.c": 2}
    for path in sources("libvgpu/csrc/*"):
        found = re.findall(r"PTHREAD_(?:MUTEX|RWLOCK)_INITIALIZER", path.read_text())
        assert len(found) == by_hand.get(path.name, 0), path
