# SPDX-License-Identifier: Apache-2.0
"""A library that the image lacks is named before anything boots."""

import subprocess

import pytest
from guest_image.elf import elf_files, require_libraries
from guest_image.places import GuestError


@pytest.fixture
def tree(tmp_path):
    source = tmp_path / "source.c"
    source.write_text("int one(void) { return 1; }\n")
    root = tmp_path / "root"
    (root / "lib").mkdir(parents=True)
    shared = ["gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,--no-as-needed", str(source)]
    subprocess.run([*shared, "-Wl,-soname,libb.so.1", "-o", f"{root}/lib/libb.so.1"], check=True)
    subprocess.run([*shared, "-o", f"{root}/lib/a.so", f"{root}/lib/libb.so.1"], check=True)
    (root / "lib/text").write_text("no ELF")
    return root


def test_only_programs_and_libraries_count(tree):
    assert [path.name for path in elf_files(tree)] == ["a.so", "libb.so.1"]


def test_a_whole_tree_is_accepted(tree):
    require_libraries(tree)


def test_what_is_missing_is_named_with_who_needs_it(tree):
    (tree / "lib/libb.so.1").unlink()
    with pytest.raises(GuestError, match="lib/a.so needs libb.so.1"):
        require_libraries(tree)
