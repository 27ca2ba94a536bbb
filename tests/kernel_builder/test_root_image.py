# SPDX-License-Identifier: Apache-2.0
"""The real root image, built twice from Debian's packages: the same bytes, and what is in it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from guest_image.places import ROOT, Places, run, sha256_of
from guest_image.reproduce import build_in
from guest_image.tree import LIBRARIES, PYTHON

NEEDED = ("apt-get", "dpkg-deb", "mkfs.erofs", "fsck.erofs")
MISSING = [name for name in NEEDED if not shutil.which(name)]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {' '.join(MISSING)}"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    places = Places()
    names = ("first", "the-second-one")
    return [build_in(places, tmp_path_factory.mktemp(name), kernel=False) for name in names]


@pytest.fixture(scope="module")
def tree(builds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree") / "root"
    run(["fsck.erofs", f"--extract={folder}", builds[0]["root.erofs"]])
    return folder


def python(tree, script):
    """Run a script by the image's own Python and libraries."""
    loader = tree / "lib64/ld-linux-x86-64.so.2"
    command = [loader, "--library-path", tree / LIBRARIES, tree / "usr/bin" / PYTHON, "-c", script]
    environment = {"PYTHONHOME": str(tree / "usr"), "LANG": "C.UTF-8"}
    return subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True,
        check=True,
    ).stdout  # fmt: skip


def test_two_builds_have_the_same_bytes(builds):
    one, other = ({name: sha256_of(path) for name, path in build.items()} for build in builds)
    assert one == other
    assert {"root.erofs", "manifest.json", "pod-pv.cfg", "pod-pvh.cfg"} == set(one)


def test_the_image_is_not_larger_than_it_may_be(builds):
    assert builds[0]["root.erofs"].stat().st_size < 50_000_000


def test_the_manifest_has_every_package_and_the_images_checksum(builds):
    manifest = json.loads(builds[0]["manifest.json"].read_text())
    image = manifest["files"]["root.erofs"]
    assert image["sha256"] == sha256_of(builds[0]["root.erofs"])
    names = {package["name"] for package in manifest["packages"]}
    assert {"libc6", "python3.11-minimal", "crun", "busybox-static", "linux-source-6.1"} <= names
    assert all(package["version"] and package["sha256"] for package in manifest["packages"])
    assert str(ROOT) not in builds[0]["manifest.json"].read_text()


def test_the_driver_is_libvgpu_and_there_is_no_other(tree):
    found = {path.relative_to(tree) for path in tree.rglob("libcuda*")}
    assert found == {Path(LIBRARIES, "libcuda.so.1"), Path(LIBRARIES, "libcuda.so")}
    assert (tree / LIBRARIES / "libcuda.so").readlink() == Path("libcuda.so.1")
    assert b"VGPU_SOCKET" in (tree / LIBRARIES / "libcuda.so.1").read_bytes()
    assert not list(tree.rglob("*softgpu*"))


def test_python_runs_a_program_with_ctypes_and_finds_the_driver(tree):
    library = tree / LIBRARIES / "libcuda.so.1"
    script = f"import ctypes; print(bool(ctypes.CDLL({str(library)!r}).cuInit))"
    assert python(tree, script) == "True\n"


def test_python_has_what_programs_expect(tree):
    modules = "asyncio, ctypes, hashlib, json, lzma, mmap, multiprocessing, sqlite3, ssl, zlib"
    assert python(tree, f"import {modules}; print('all')") == "all\n"


def test_byte_code_is_there_and_valid_without_the_sources_times(tree):
    script = "import json.decoder; print(json.decoder.__cached__)"
    cached = Path(python(tree, script).strip())
    assert cached.is_relative_to(tree)
    flags = int.from_bytes(cached.read_bytes()[4:8], "little")
    assert flags == 1  # by content, and not checked


def test_the_whole_package_idm_is_there(tree):
    packaged = tree / "usr/lib/python3/dist-packages"
    ours = {path.relative_to(ROOT) for path in (ROOT / "idm").rglob("*.py")}
    assert {path.relative_to(packaged) for path in packaged.rglob("*.py")} == ours


def test_programs_that_the_guest_needs_are_there(tree):
    for name in ("sbin/init", "bin/sh", "bin/mount", "usr/bin/python3", "usr/bin/crun", "sbin/ip"):
        path = tree / name
        assert os.path.lexists(path), name
    for name in ("sbin/poweroff", "sbin/reboot"):
        assert (tree / name).readlink() == Path("init")


def test_what_is_written_leads_to_memory(tree):
    for name in ("root", "home", "share", "etc/resolv.conf", "etc/hosts"):
        target = str((tree / name).readlink())
        assert target.removeprefix("/").split("/")[0] in ("run", "var"), name


def test_there_is_a_user_without_rights(tree):
    assert "user:x:1000:1000:user:/home/user:/bin/sh" in (tree / "etc/passwd").read_text()


def test_nothing_is_writable_for_all_or_runs_as_its_owner(tree):
    for path in tree.rglob("*"):
        if not path.is_symlink():
            assert not path.stat().st_mode & 0o6022, path
