# SPDX-License-Identifier: Apache-2.0
"""The root in which commands run: the domain's image where it has one, else the guest's own root.

An image is a read-only disk, or a directory such as a 9p share. What programs write lies above it
in memory, in an overlay; so mount points can be made in any image. The guest's own libcuda.so.1 is
bound into it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")  # the guest's
PLACE = "usr/lib/vgpu"  # of its driver libraries in an image
# Where loaders look by themselves, so that `env -i` loses nothing: Debian's, and everybody else's.
LOADER_DIRECTORIES = ("usr/lib/x86_64-linux-gnu", "usr/lib64")
DRIVER = {"libcuda.so.1": "libcuda.so", "libnvidia-ml.so.1": "libnvidia-ml.so"}
SHARED = ("/sys", "/dev", "/run/vgpu")  # with the guest, mounts below them included
MOUNT_SECONDS = 60

# Each file system that an image may have: its magic number, and where it is.
MAGIC = {
    "squashfs": (0, b"hsqs"),
    "erofs": (1024, b"\xe2\xe1\xf5\xe0"),
    "ext4": (1024 + 56, b"\x53\xef"),
}
OPTIONS = {"ext4": "ro,noload"}  # a journal cannot be replayed on a read-only disk
MAGIC_BYTES = 2048


class ImageError(Exception):
    """The domain's image cannot be used."""


class ImageRoot:
    """Assembled when the first command asks for it."""

    def __init__(
        self,
        image: str,
        libraries: Path = LIBRARIES,
        base: Path = Path("/run/image"),
        run: Callable[[list[str]], None] | None = None,
    ) -> None:
        """`image`: a device or directory of the guest, or "" for none."""
        self._image = image
        self._libraries = libraries
        self._base = base
        self._run = run or _run
        self._mounted: list[Path] = []
        self._done = base / "assembled"  # an agent that begins again finds what is mounted

    def assembled(self) -> str:
        """Return where the root is. Raises ImageError."""
        if not self._image:
            return "/"
        if not self._done.exists():
            self._assemble()
            self._done.touch()
        return str(self._base / "merged")

    def library_path(self, root: str, given: str) -> str:
        """Return LD_LIBRARY_PATH: ours wins over a libcuda.so.1 that the image may have."""
        if root != str(self._base / "merged"):
            return given
        return f"/{PLACE}:{given}" if given else f"/{PLACE}"

    def _assemble(self) -> None:
        try:
            lower = self._lower()
            root = self._overlay(lower)
            for path in SHARED:
                self._mount(["-o", "rbind", path], root / path[1:])
            self._mount(["-t", "proc", "proc"], root / "proc")
            (root / "tmp").mkdir(exist_ok=True)
            (root / "tmp").chmod(0o1777)
            self._add_libraries(root)
        except BaseException as error:
            self._undo()
            if isinstance(error, OSError):
                raise ImageError(f"image {self._image}: {error}") from None
            raise

    def _lower(self) -> Path:
        image = Path(self._image)
        if image.is_dir():
            return image
        kind = file_system(image)
        lower = self._base / "lower"
        self._mount(["-t", kind, "-o", OPTIONS.get(kind, "ro"), str(image)], lower)
        return lower

    def _overlay(self, lower: Path) -> Path:
        upper, work, root = (self._base / name for name in ("upper", "work", "merged"))
        for directory in (upper, work):
            directory.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
        self._mount(["-t", "overlay", "-o", layers, "overlay"], root)
        return root

    def _add_libraries(self, root: Path) -> None:
        for name, plain_name in DRIVER.items():
            source, place = self._libraries / name, root / PLACE / name
            if not source.exists():
                if name == "libcuda.so.1":
                    raise ImageError(f"the guest has no {source}")
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.touch()
            self._mount(["-o", "bind", str(source)], place)
            _link(place.with_name(plain_name), name)
            for directory in LOADER_DIRECTORIES:
                if (root / directory).is_dir() and not (root / directory).is_symlink():
                    for link in (name, plain_name):
                        _link(root / directory / link, f"/{PLACE}/{name}")

    def _mount(self, words: list[str], where: Path) -> None:
        if not where.exists():
            where.mkdir(parents=True)
        try:
            self._run(["mount", *words, str(where)])
        except subprocess.SubprocessError as error:
            said = str(getattr(error, "output", "") or error).strip()
            raise ImageError(f"image {self._image}: {said}") from None
        self._mounted.append(where)

    def _undo(self) -> None:
        while self._mounted:
            self._run(["umount", "-l", str(self._mounted.pop())])


def _link(link: Path, target: str) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def file_system(device: Path) -> str:
    """Return what a disk holds. Raises ImageError."""
    try:
        with device.open("rb") as opened:
            start = opened.read(MAGIC_BYTES)
    except OSError as error:
        raise ImageError(f"image {device}: {error.strerror}") from None
    for name, (at, magic) in MAGIC.items():
        if start[at : at + len(magic)] == magic:
            return name
    raise ImageError(f"image {device} is neither {', '.join(MAGIC)}")


def _run(command: list[str]) -> None:
    subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=MOUNT_SECONDS,
    )
