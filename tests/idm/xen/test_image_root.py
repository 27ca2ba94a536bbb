# SPDX-License-Identifier: Apache-2.0
"""The root of an image: what is mounted where, and what is said when it cannot be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from idm.xen.agent.image_root import MAGIC, ImageError, ImageRoot, file_system
from idm.xen.agent.settings import setting


class Mounts:
    """Runs `mount` by writing down what it was asked; an overlay shows what an image holds."""

    def __init__(self, tmp_path: Path) -> None:
        self.base = tmp_path / "image"
        self.asked: list[str] = []
        self.fails = ""
        self.libraries = tmp_path / "libraries"
        self.libraries.mkdir()
        (self.libraries / "libcuda.so.1").write_text("ours")

    def __call__(self, command: list[str]) -> None:
        line = " ".join(command).replace(str(self.base), "BASE")
        self.asked.append(line.replace(str(self.libraries), "LIBRARIES"))
        if self.fails and self.fails in line:
            raise subprocess.CalledProcessError(32, command, output="mount: no\n")
        if "overlay" in command:
            (self.base / "merged/usr/lib64").mkdir(parents=True)
            (self.base / "merged/usr/lib64/libcuda.so.1").write_text("the image's own")
            (self.base / "merged/usr/lib/vgpu").mkdir(parents=True)

    def image(self, path: str | Path) -> ImageRoot:
        return ImageRoot(str(path), self.libraries, self.base, self)


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return Mounts(tmp_path)


def disk(tmp_path: Path, kind: str) -> Path:
    at, magic = MAGIC[kind]
    (tmp_path / kind).write_bytes(bytes(at) + magic + bytes(4096))
    return tmp_path / kind


@pytest.mark.parametrize(("kind", "options"), [("erofs", "ro"), ("ext4", "ro,noload")])
def test_what_is_mounted(mounts: Mounts, tmp_path: Path, kind: str, options: str) -> None:
    device = disk(tmp_path, kind)
    image = mounts.image(device)
    root = image.assembled()
    assert root == str(mounts.base / "merged")
    assert mounts.asked == [
        f"mount -t {kind} -o {options} {device} BASE/lower",
        "mount -t overlay -o lowerdir=BASE/lower,upperdir=BASE/upper,workdir=BASE/work"
        " overlay BASE/merged",
        "mount -o rbind /sys BASE/merged/sys",
        "mount -o rbind /dev BASE/merged/dev",
        "mount -o rbind /run/vgpu BASE/merged/run/vgpu",
        "mount -t proc proc BASE/merged/proc",
        "mount -o bind LIBRARIES/libcuda.so.1 BASE/merged/usr/lib/vgpu/libcuda.so.1",
    ]
    assert image.assembled() == root
    assert mounts.image(device).assembled() == root  # an agent that begins again
    assert len(mounts.asked) == 7


def test_loaders_find_the_guests_driver(mounts: Mounts, tmp_path: Path) -> None:
    image = mounts.image(disk(tmp_path, "squashfs"))
    root = Path(image.assembled())
    for name in ("libcuda.so.1", "libcuda.so"):
        assert (root / "usr/lib64" / name).readlink() == Path("/usr/lib/vgpu/libcuda.so.1")
    assert not (root / "usr/lib/x86_64-linux-gnu").exists()
    assert image.library_path(str(root), "") == "/usr/lib/vgpu"
    assert image.library_path(str(root), "/mine") == "/usr/lib/vgpu:/mine"
    assert image.library_path("/", "/mine") == "/mine"


def test_a_directory_needs_no_disk(mounts: Mounts, tmp_path: Path) -> None:
    mounts.image(tmp_path).assembled()
    assert mounts.asked[0].startswith(f"mount -t overlay -o lowerdir={tmp_path},")


def test_without_an_image_it_is_the_guests_root(mounts: Mounts) -> None:
    assert mounts.image("").assembled() == "/"
    assert mounts.asked == []


def test_what_was_mounted_is_undone(mounts: Mounts, tmp_path: Path) -> None:
    mounts.fails = "/dev"
    with pytest.raises(ImageError, match="mount: no"):
        mounts.image(disk(tmp_path, "erofs")).assembled()
    assert mounts.asked[-3:] == [
        f"umount -l BASE/{name}" for name in ("merged/sys", "merged", "lower")
    ]


def test_a_guest_without_a_driver_says_so(mounts: Mounts, tmp_path: Path) -> None:
    (mounts.libraries / "libcuda.so.1").unlink()
    with pytest.raises(ImageError, match=r"the guest has no .*libcuda.so.1"):
        mounts.image(disk(tmp_path, "erofs")).assembled()


def test_a_disk_that_holds_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(8192))
    with pytest.raises(ImageError, match="is neither squashfs, erofs, ext4"):
        file_system(tmp_path / "zeros")
    with pytest.raises(ImageError, match="No such file"):
        file_system(tmp_path / "nothing")


class Nodes:
    def read(self, path: str) -> str | None:
        return {"vm-data/vgpu/image": "/dev/xvdz"}.get(path)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("quiet vgpu.image=/dev/xvdb ro\n", "/dev/xvdb"),
        ("vgpu.image=/dev/xvdb vgpu.image=/dev/xvdc\n", "/dev/xvdc"),
        ("quiet\n", "/dev/xvdz"),
        ("quiet vgpu.images=/dev/xvdb\n", "/dev/xvdz"),
    ],
)
def test_where_a_setting_comes_from(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / "cmdline").write_text(line)
    assert setting(Nodes(), "image", tmp_path / "cmdline") == value
    assert setting(Nodes(), "other", tmp_path / "cmdline") == ""
