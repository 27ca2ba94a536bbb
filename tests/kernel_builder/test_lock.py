# SPDX-License-Identifier: Apache-2.0
"""The lock: written and read, and every difference named."""

from dataclasses import replace

import pytest
from guest_image.lock import Package, differences, read_lock, write_lock
from guest_image.places import HERE, GuestError

ONE = Package("root", "one", "1:2.0-1", "amd64", "a" * 64)
TWO = Package("kernel", "two", "6.1", "all", "b" * 64)


def test_what_is_written_is_read_again_in_one_order(tmp_path):
    lock = tmp_path / "packages.lock"
    write_lock(lock, [ONE, TWO])
    first = lock.read_bytes()
    assert read_lock(lock) == [TWO, ONE]
    write_lock(lock, [TWO, ONE])
    assert lock.read_bytes() == first


def test_a_file_has_the_name_that_apt_gives_it():
    assert ONE.file == "one_1%3a2.0-1_amd64.deb"


@pytest.mark.parametrize("line", ["root one 1.0 amd64", "disk one 1.0 amd64 aa", "root"])
def test_a_line_that_is_none_is_named(tmp_path, line):
    lock = tmp_path / "packages.lock"
    lock.write_text(f"# comment\n{line}\n")
    with pytest.raises(GuestError, match="packages.lock:2: not a line of a lock"):
        read_lock(lock)


def test_a_missing_lock_names_the_command_that_writes_it(tmp_path):
    with pytest.raises(GuestError, match="make guest-lock"):
        read_lock(tmp_path / "packages.lock")


def test_every_difference_is_named():
    newer = replace(ONE, version="1:2.0-2")
    other = replace(TWO, sha256="c" * 64)
    third = Package("root", "three", "3", "all", "d" * 64)
    assert differences([ONE, TWO], [newer, other, third]) == [
        "two (kernel): 6.1 has another checksum than was locked",
        "one (root): locked 1:2.0-1, now 1:2.0-2",
        "three (root): new, 3",
    ]
    assert differences([ONE, TWO], [TWO]) == ["one (root): gone"]
    assert differences([ONE, TWO], [TWO, ONE]) == []


def test_the_committed_lock_is_one():
    packages = read_lock(HERE / "packages.lock")
    assert [one.name for one in packages if one.used_for == "kernel"] == ["linux-source-6.1"]
    assert all(len(one.sha256) == 64 for one in packages)
