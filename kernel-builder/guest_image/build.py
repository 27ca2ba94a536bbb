# SPDX-License-Identifier: Apache-2.0
"""One build: packages, kernel, root image, configurations, manifest; each only when it must be."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

from guest_image.image import build_image, image_key
from guest_image.kernel import OUTPUTS, build_kernel, kernel_key
from guest_image.lock import KERNEL, Package
from guest_image.manifest import manifest
from guest_image.own_parts import build_driver
from guest_image.packages import choose, fetch
from guest_image.places import Places, alone, require_tools, say
from guest_image.pod_config import configurations

# How many earlier results stay, so that changing back costs nothing.
KEPT = {"kernel-*": 3, "tree-*": 1, "root-*.erofs": 2}


def build(places: Places, *, strict: bool, folder: str, kernel: bool = True) -> dict[str, Path]:
    """Make everything; the files by their names."""
    require_tools()
    with alone(places):
        packages, changed = choose(places, strict)
        files = make(places, packages, kernel)
        texts = configurations(folder)
        texts["manifest.json"] = manifest(places, packages, changed, files)
        news = [name for name, path in files.items() if copy_if_changed(path, places.out / name)]
        news += [name for name, text in texts.items() if write_if_changed(places.out / name, text)]
        forget(places.cache)
    report(places.out, news)
    return {name: places.out / name for name in [*files, *texts]}


def make(places: Places, packages: list[Package], kernel: bool) -> dict[str, Path]:
    """Kernel and root image, in the cache."""
    (source,) = (one for one in packages if one.used_for == KERNEL)
    others = [one for one in packages if one.used_for != KERNEL]
    files = {}
    if kernel:
        get = partial(fetch, [source], places)
        made = build_kernel(source, get, places, kernel_key(source, places))
        os.utime(made)
        files = {name: made / name for name in OUTPUTS}
    driver = build_driver(places.cache / "libvgpu")
    get = partial(fetch, others, places)
    image = build_image(others, get, driver, places, image_key(others, driver))
    os.utime(image)
    return {**files, "root.erofs": image}


def copy_if_changed(source: Path, target: Path) -> bool:
    """Whether the target had to be written; readers of the old one keep it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.read_bytes() == source.read_bytes():
        return False
    new = target.with_name(target.name + ".new")
    shutil.copyfile(source, new)
    new.rename(target)
    return True


def write_if_changed(target: Path, text: str) -> bool:
    """The same for a text."""
    if target.exists() and target.read_text() == text:
        return False
    target.write_text(text)
    return True


def forget(cache: Path) -> None:
    """Remove results of earlier builds, the oldest first."""
    for pattern, count in KEPT.items():
        made = sorted(cache.glob(pattern), key=lambda path: path.stat().st_mtime)
        for old in made[:-count]:
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def report(out: Path, news: list[str]) -> None:
    """Say what is new and how large it is."""
    for name in sorted(news):
        say(f"{out / name}: {(out / name).stat().st_size:,} bytes")
    if not news:
        say("nothing to do")
