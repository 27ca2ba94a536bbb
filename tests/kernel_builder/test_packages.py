# SPDX-License-Identifier: Apache-2.0
"""Packages from an archive of our own: what is locked is built, and what is gone is named."""

import hashlib
import shutil
import subprocess

import pytest
from guest_image import packages
from guest_image.lock import read_lock
from guest_image.places import TOOLS, GuestError, Places

pytestmark = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("apt-get", "dpkg-deb")), reason="no apt on this machine"
)
INDEX = """\
Package: {name}
Version: {version}
Architecture: all
{depends}Filename: ./{file}
Size: {size}
SHA256: {sha256}
Maintainer: a test
Description: a test

"""


class Archive:
    """A folder that apt takes for an archive."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.index = {}

    def add(self, name, version, depends=""):
        control = self.folder / "package" / "DEBIAN"
        control.mkdir(parents=True)
        more = f"Depends: {depends}\n" if depends else ""
        fields = f"Package: {name}\nVersion: {version}\nArchitecture: all\n{more}"
        (control / "control").write_text(f"{fields}Maintainer: a test\nDescription: a test\n")
        file = self.folder / f"{name}_{version}_all.deb"
        command = ["dpkg-deb", "--build", "--root-owner-group", str(control.parent), str(file)]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(control.parent)
        data = file.read_bytes()
        self.index[name] = INDEX.format(
            name=name, version=version, depends=more, file=file.name, size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )  # fmt: skip
        (self.folder / "Packages").write_text("".join(self.index.values()))


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "SOURCE", "source")
    monkeypatch.setattr(packages, "WANTED", ("program",))
    monkeypatch.setattr(packages, "LEFT_OUT", {"useless"})
    made = Archive(tmp_path / "archive")
    made.add("source", "6.1-1")
    made.add("useless", "1")
    made.add("library", "2.0-1")
    made.add("program", "1.0-1", "library, useless")
    return made


@pytest.fixture
def places(tmp_path, archive):
    sources = tmp_path / "sources.list"
    sources.write_text(f"deb [trusted=yes] file:{archive.folder} ./\n")
    return Places(
        out=tmp_path / "out",
        cache=tmp_path / "cache",
        sources=sources,
        lock=tmp_path / "packages.lock",
    )


@pytest.fixture
def locked(places):
    packages.lock_now(places)
    return read_lock(places.lock)


def test_the_lock_has_the_packages_and_what_they_need(locked):
    found = [(one.used_for, one.name, one.version) for one in locked]
    assert found == [
        ("kernel", "source", "6.1-1"),
        ("root", "library", "2.0-1"),
        ("root", "program", "1.0-1"),
    ]


def test_locking_again_says_what_changed(places, locked, archive):
    assert packages.lock_now(places) == []
    archive.add("library", "2.0-2")
    assert packages.lock_now(places) == ["library (root): locked 2.0-1, now 2.0-2"]


def test_locked_packages_are_fetched_once(places, locked, archive):
    assert packages.choose(places, strict=True) == (locked, [])
    packages.fetch(locked, places)
    shutil.rmtree(archive.folder)  # from here on there is no archive
    assert packages.choose(places, strict=True) == (locked, [])
    packages.fetch(locked, places)


def test_a_damaged_package_is_fetched_again(places, locked, capsys):
    packages.fetch(locked, places)
    file = places.packages / "library_2.0-1_all.deb"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    packages.fetch(locked, places)
    assert file.read_bytes() == whole
    assert "library_2.0-1_all.deb in the cache is damaged" in capsys.readouterr().out


def test_a_package_that_is_not_what_was_locked_is_refused(places, locked, archive):
    (library,) = (one for one in locked if one.name == "library")
    archive.add("library", "2.0-1", "useless")  # the same version, another content
    with pytest.raises(GuestError, match="library_2.0-1_all.deb from the archive has not"):
        packages.fetch([library], places)


def test_a_build_with_newer_packages_names_them(places, locked, archive, capsys):
    archive.add("library", "2.0-2")
    met, changed = packages.choose(places, strict=False)
    assert changed == ["library (root): locked 2.0-1, now 2.0-2"]
    assert [one.version for one in met if one.name == "library"] == ["2.0-2"]
    text = capsys.readouterr().out
    assert "not as locked: library (root): locked 2.0-1, now 2.0-2" in text
    assert "make guest-lock" in text


def test_the_next_build_takes_the_same_ones_and_says_so_without_an_archive(
    places, locked, archive, capsys
):
    archive.add("library", "2.0-2")
    first = packages.choose(places, strict=False)
    shutil.rmtree(archive.folder)
    capsys.readouterr()
    assert packages.choose(places, strict=False) == first
    assert "not as locked: library" in capsys.readouterr().out


def test_a_new_lock_ends_that(places, locked, archive):
    archive.add("library", "2.0-2")
    packages.choose(places, strict=False)
    packages.lock_now(places)
    assert packages.choose(places, strict=False) == (read_lock(places.lock), [])


def test_a_strict_build_refuses_newer_packages_and_names_them(places, locked, archive):
    archive.add("library", "2.0-2")
    with pytest.raises(GuestError, match="library .root.: locked 2.0-1, now 2.0-2"):
        packages.choose(places, strict=True)


def test_a_package_that_the_archive_never_had_is_an_error(places, locked, monkeypatch):
    monkeypatch.setattr(packages, "WANTED", ("nothing",))
    with pytest.raises(GuestError, match="Unable to locate package nothing"):
        packages.lock_now(places)


def test_each_tool_names_its_package():
    assert all(TOOLS.values())
