# SPDX-License-Identifier: Apache-2.0
"""What an xl configuration says, where a guest is found, and what becomes of an image."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_proxy.domain import guest, tools
from gpu_proxy.domain.guest import Guest, find_guest
from gpu_proxy.domain.image import as_disk, pack
from gpu_proxy.domain.pod import Pod, configuration
from gpu_proxy.errors import DomainError, ToolFailed
from idm.xen.agent.image_root import file_system

GUEST = Guest(Path("/guest/vmlinux"), (Path("/guest/root.erofs"),), "root=/dev/xvda quiet")
POD = Pod("a", 512, GUEST)

PLAIN = """\
name = "a"
type = "pvh"
kernel = "/guest/vmlinux"
memory = 512
vcpus = 1
extra = "root=/dev/xvda quiet"
disk = ["format=raw,vdev=xvda,access=ro,target=/guest/root.erofs"]
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
"""

FULL = """\
name = "b.c-d_1"
type = "pv"
kernel = "/guest/vmlinux"
memory = 1024
vcpus = 4
extra = "root=/dev/xvda quiet vgpu.image=/dev/xvdb vgpu.grant-frames=128"
disk = ["format=raw,vdev=xvda,access=ro,target=/guest/root.erofs", \
"format=raw,vdev=xvdb,access=ro,target=/images/a, b.erofs"]
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
ramdisk = "/guest/initrd"
max_grant_frames = 128
vif = ["bridge=xenbr0", "mac=00:16:3e:00:00:01"]
tsc_mode = "native"
memory = 2048
"""


def test_a_plain_configuration() -> None:
    assert configuration(POD) == PLAIN


def test_a_full_configuration() -> None:
    pod = Pod(
        name="b.c-d_1",
        memory_mib=1024,
        guest=replace(GUEST, ramdisk=Path("/guest/initrd")),
        image=Path("/images/a, b.erofs"),
        kind="pv",
        vcpus=4,
        grant_frames=128,
        networks=("bridge=xenbr0", "mac=00:16:3e:00:00:01"),
        more=('tsc_mode = "native"', "memory = 2048"),
    )
    assert configuration(pod) == FULL


@pytest.mark.parametrize("path", ['/a"b', "/a\\b", "/a\nb = 1"])
def test_what_xls_syntax_cannot_say(path: str) -> None:
    with pytest.raises(DomainError, match="cannot be written"):
        configuration(replace(POD, image=Path(path)))
    with pytest.raises(DomainError, match="cannot be written"):
        configuration(replace(POD, networks=(path,)))


@pytest.mark.parametrize("name", ["", "1", "a b", "a/b", "x" * 64, "-a", 'a"', "Domäne", "a\n"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(DomainError, match="is no name for a domain"):
        replace(POD, name=name).check()


def test_too_little_memory() -> None:
    with pytest.raises(DomainError, match="63 MiB of memory"):
        replace(POD, memory_mib=63).check()
    replace(POD, memory_mib=64).check()


def test_a_guest_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, checkout = tmp_path / "installed", tmp_path / "checkout"
    monkeypatch.setattr(guest, "INSTALLED", installed)
    monkeypatch.setattr(guest, "CHECKOUT", checkout)
    with pytest.raises(DomainError, match=f"{installed} or {checkout}; make guest-image"):
        find_guest(None)
    for folder, names in ((checkout, ("vmlinux", "bzImage", "root.erofs")),
                          (installed, ("bzImage", "root.squashfs"))):  # fmt: skip
        folder.mkdir()
        for name in names:
            (folder / name).touch()
        found = find_guest(None)
        assert found.kernel == folder / names[0]
        assert found.disks == (folder / names[-1],)
        assert found.options.endswith(f"rootfstype={names[-1].partition('.')[2]}")
    assert find_guest(checkout).kernel == checkout / "vmlinux"
    with pytest.raises(DomainError, match=f"no guest: .* in {tmp_path};"):
        find_guest(tmp_path)


def test_a_file_is_a_disk_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "image").touch()
    assert as_disk(tmp_path / "image", tmp_path / "packed") == tmp_path / "image"
    for bad in (tmp_path / "nothing", Path("/dev/null")):
        with pytest.raises(DomainError, match="no file, block device or directory"):
            as_disk(bad, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize(("tool", "kind"), [("mkfs.erofs", "erofs"), ("mksquashfs", "squashfs")])
def test_a_directory_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, kind: str
) -> None:
    try:
        found = tools.find_tool(tool)
    except ToolFailed as error:
        pytest.skip(str(error))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "program").write_text("#!/bin/sh\n")
    monkeypatch.setattr("gpu_proxy.domain.image.find_tool", lambda *_: found)
    for _ in range(2):  # an old one is replaced
        pack(tmp_path / "tree", tmp_path / "out")
        assert file_system(tmp_path / "out") == kind


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ToolFailed, match=r"missing: xl \(apt install xen-utils-common\)"):
        tools.xl("list")
    with pytest.raises(ToolFailed, match=r"mkfs.erofs \(.*\) or mksquashfs \(.*\)"):
        tools.find_tool("mkfs.erofs", "mksquashfs")


def test_a_tool_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "xl"
    script.write_text("#!/bin/sh\necho asked for $*\necho no such thing >&2\nexit 3\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolFailed) as caught:
        tools.xl("destroy", 7)
    text = str(caught.value)
    assert text == f"{script} destroy 7 failed with 3:\nasked for destroy 7\nno such thing"
