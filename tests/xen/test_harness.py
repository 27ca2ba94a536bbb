# SPDX-License-Identifier: Apache-2.0
"""The harness itself, without Xen: what it builds, names as missing, runs and reports."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.xen import (
    disks,
    initramfs,
    jobs,
    kernel_image,
    machine,
    packages,
    payload,
    places,
    repository,
    suite,
)

SUPPORT = Path(__file__).resolve().parent / "inside" / "support"
sys.path.insert(0, str(SUPPORT))

import hypervisor
import leftovers


def test_missing_packages_are_named_at_once_with_the_line_that_installs_them(monkeypatch):
    monkeypatch.setattr(places, "TOOLS", {"no-such-a": "package-a", "no-such-b": "package-b"})
    monkeypatch.setattr(places, "FIRMWARE", {Path("/nonexistent/bios"): "package-c"})
    line = "apt install --no-install-recommends package-a package-b package-c"
    with pytest.raises(places.HarnessError, match=line):
        places.require_tools()


def test_missing_guest_images_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(payload, "GUEST", tmp_path)
    monkeypatch.setattr(payload, "ROOT", tmp_path.parent)
    with pytest.raises(places.HarnessError, match="make guest-image"):
        payload.require_guest()
    (tmp_path / "vmlinux").touch()
    with pytest.raises(places.HarnessError, match=r"root\.erofs or root\.squashfs"):
        payload.require_guest()
    (tmp_path / "root.squashfs").touch()
    payload.require_guest()


def test_a_missing_compiled_part_is_named_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    with pytest.raises(places.HarnessError, match=r"idm/_ring\*\.so \(make build"):
        repository.compiled_parts()


def needs(name):
    """These tools are in Debian's e2fsprogs and busybox; `make test` works without them."""
    return pytest.mark.skipif(not shutil.which(name, path=places.SEARCH), reason=f"no {name} here")


@needs("mke2fs")
def test_a_disk_holds_the_tree(tmp_path):
    tree, image = tmp_path / "tree", tmp_path / "one.img"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "file").write_text("content")
    disks.make_disk(tree, image, "key")
    assert places.is_fresh(image, "key")
    assert not places.is_fresh(image, "other")
    said = subprocess.run(
        ["/sbin/debugfs", "-R", "cat /folder/file", image],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.splitlines()[-1] == "content"


@pytest.fixture
def checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(repository, "ROOT", tmp_path / "checkout")
    (tmp_path / "checkout").mkdir()
    return tmp_path / "checkout"


def test_the_tree_follows_the_checkout(checkout, tmp_path):
    tree = tmp_path / "tree"
    for name in ("one.py", "two.py"):
        (checkout / name).write_text("value = 1\n")
    repository.synchronize([Path("one.py"), Path("two.py")], tree)
    cache = tree / "__pycache__"
    cache.mkdir()
    for name in ("one", "two"):
        (cache / f"{name}.cpython-311.pyc").touch()
    (checkout / "one.py").write_text("value = 22\n")
    repository.synchronize([Path("one.py")], tree)
    assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*.py*")) == [
        "__pycache__/one.cpython-311.pyc",
        "one.py",
    ]
    assert (tree / "one.py").read_text() == "value = 22\n"


def test_a_folder_that_is_empty_now_goes(checkout, tmp_path):
    (checkout / "sub").mkdir()
    (checkout / "sub" / "one.py").touch()
    repository.synchronize([Path("sub/one.py")], tmp_path / "tree")
    repository.synchronize([], tmp_path / "tree")
    assert not (tmp_path / "tree" / "sub").exists()


def test_packages_are_those_needed_and_no_others():
    found = packages.closure(packages.WANTED)
    assert {"cffi", "pycparser", "pytest", "llvmlite"} <= set(found)
    assert not {"numpy", "mypy", "ruff", "ziglang", "hypothesis", "pip"} & set(found)
    assert {"gpu-proxy", "vgpu", "pytest"} <= set(packages.console_scripts(found))


@needs("busybox")
def test_the_archive_can_be_unpacked(tmp_path):
    archive = initramfs.cpio(
        [("a", initramfs.DIRECTORY, b""), ("a/b", initramfs.PROGRAM, b"12345")]
    )
    unpack = ["busybox", "cpio", "-i"]
    subprocess.run(unpack, input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "a" / "b").read_bytes() == b"12345"


def bzimage(payload: bytes) -> bytes:
    header = bytearray(0x250)
    header[kernel_image.SETUP_SECTORS] = 1
    struct.pack_into("<II", header, kernel_image.PAYLOAD, 16, len(payload))
    return bytes(header).ljust(2 * 512 + 16, b"\0") + payload


def test_a_kernel_is_unpacked(tmp_path):
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"\x7fELF kernel") + packer.flush()
    (tmp_path / "bzImage").write_bytes(bzimage(packed))
    kernel_image.unpack_kernel(tmp_path / "bzImage", tmp_path / "vmlinux")
    assert (tmp_path / "vmlinux").read_bytes() == b"\x7fELF kernel"


def test_an_unknown_compression_is_an_error(tmp_path):
    (tmp_path / "bzImage").write_bytes(bzimage(b"LZ4?"))
    with pytest.raises(places.HarnessError, match="does not know"):
        kernel_image.unpack_kernel(tmp_path / "bzImage", tmp_path / "vmlinux")


class Running(machine.Machine):
    """A machine that does nothing, and says that it runs."""

    def is_running(self) -> bool:
        return True


@pytest.fixture
def running(tmp_path):
    one = Running(tmp_path)
    (one.share / "jobs").mkdir(parents=True)
    return one


def test_a_jobs_output_and_exit_code_come_back(running, capfdbinary):
    job = jobs.submit(running, "true")
    (job / "output").write_text("said\n")
    (job / "status").write_text("3\n")
    assert jobs.follow(running, job, 30) == 3
    assert capfdbinary.readouterr().out == b"said\n"
    assert (running.share / "look").exists()


def test_a_job_that_hangs_is_ended_with_the_consoles_last_lines(running, monkeypatch):
    monkeypatch.setattr(jobs, "CANCEL_SECONDS", 0)
    running.console.write_text("first\nlast words of Xen\n")
    job = jobs.submit(running, "sleep 1000")
    with pytest.raises(places.HarnessError, match="did not end in 0 s(.|\n)*last words of Xen"):
        jobs.follow(running, job, 0)
    assert (job / "cancel").exists()


def test_a_machine_that_ends_is_an_error(tmp_path):
    one = machine.Machine(tmp_path)
    (one.share / "jobs").mkdir(parents=True)
    job = jobs.submit(one, "true")
    with pytest.raises(places.HarnessError, match="ended while the command ran"):
        jobs.follow(one, job, 30)


def test_jobs_have_numbers_of_their_own(running):
    names = [jobs.submit(running, "true").name for _ in range(11)]
    assert names == [str(number) for number in range(1, 12)]


def test_another_process_is_not_the_machine(tmp_path):
    (tmp_path / "pid").write_text("1")
    assert not machine.find_machine(tmp_path).is_running()


def test_the_whole_suite_runs_unless_tests_are_named(tmp_path):
    assert suite.script(["-x"], None).rstrip().endswith("-x tests/xen/inside")
    one = "tests/xen/inside/test_domains.py::test_two_domains_at_once"
    assert suite.script([one], None).rstrip().endswith(one)
    assert "VGPU_XEN_APP=/app/prog " in suite.script([], tmp_path / "prog")
    assert suite.script([], tmp_path / "prog").rstrip().endswith("tests/xen/inside/test_app.py")


def test_the_summary_has_each_tests_name_and_outcome(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suite, "LOGS", places.ROOT / "build" / "xen" / "logs")
    (tmp_path / "junit.xml").write_text(
        '<testsuites><testsuite><testcase classname="a.test_b" name="test_c" time="1.5"/>'
        '<testcase classname="a.test_b" name="test_d" time="2"><failure/></testcase>'
        "</testsuite></testsuites>"
    )
    suite.summarize(tmp_path / "junit.xml")
    said = capsys.readouterr().out
    assert "passed       1.5  test_b::test_c" in said
    assert "FAILED       2.0  test_b::test_d" in said


GRANTS = """\
(XEN) grant-table for remote d0 (v1)
(XEN) no active grant table entries
(XEN) [ref] localdom mfn      pin          localdom gmfn     flags
(XEN) grant-table for remote d8 (v1)
(XEN)   1 frames (128 max), 0 maptrack frames (4096 max)
(XEN) [0x00c]      0 0x1644c9 0x00000002          0 0x1644c9 0x19
"""
CHANNELS = """\
(XEN) Event channel information for domain 0:
(XEN)        1 [0/0/  -   ]: s=5 n=0 x=0 v=0
(XEN)       36 [0/0/  -   ]: s=3 n=0 x=0 d=1 p=7
(XEN) Event channel information for domain 1:
(XEN)        2 [0/1/  -   ]: s=2 n=0 x=0 d=0
(XEN)        7 [0/0/  -   ]: s=3 n=0 x=0 d=0 p=36
"""


def test_xens_dump_of_grants_is_read():
    assert hypervisor.parse_grants(GRANTS) == {hypervisor.Grant(8, 12, 0, 2)}


def test_xens_dump_of_event_channels_is_read():
    bound = {hypervisor.Channel(0, 36, 3, 1, 7), hypervisor.Channel(1, 7, 3, 0, 36)}
    waiting = hypervisor.Channel(1, 2, 2, 0, None)
    assert hypervisor.parse_channels(CHANNELS) == bound | {waiting}


def test_what_is_left_over_is_named_by_its_kind():
    before = {"loop device": {"loop0"}, "domain": set()}
    after = {"loop device": {"loop0"}, "domain": {"3 t1-pv"}}
    assert leftovers.left_over(before, after) == ["domain: 3 t1-pv"]
    assert leftovers.left_over(after, before) == []
