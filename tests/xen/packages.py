# SPDX-License-Identifier: Apache-2.0
"""The disk `venv`: the Python packages of the environment that runs the harness.

Only what vgpu and the tests need, found through the packages' own metadata. Dom0's Python is
Debian's, of the same version as this one, so compiled packages work as they are.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

from tests.xen.disks import make_disk
from tests.xen.dom0_root import compile_tree
from tests.xen.places import BUILD, HERE, digest, is_fresh, step

WANTED = ("vgpu", "pytest", "pytest-timeout")
# cuda-core asks for it and Dom0 does not; its wheels need a newer processor than the emulated one.
LEFT_OUT = ("numpy",)
PYTHON = f"python3.{sys.version_info.minor}"
SCRIPT = """#!/venv/bin/python
import sys
from {module} import {function}
sys.exit({function}())
"""


def build_packages_disk() -> Path:
    """Make it when a package or its version changed."""
    image = BUILD / "venv.img"
    found = closure(WANTED)
    names = sorted(f"{name}={one.version}" for name, one in found.items())
    sources = [(HERE / name).read_text() for name in ("packages.py", "disks.py")]
    scripts = console_scripts(found)
    key = digest(sys.version, *sources, *names, *scripts.items())
    if is_fresh(image, key):
        return image
    with step("Python packages"), tempfile.TemporaryDirectory(dir=BUILD) as name:
        tree = Path(name)
        make_environment(tree, scripts)
        packages = tree / "lib" / PYTHON / "site-packages"
        for package in found.values():
            copy_package(package, packages)
        compile_tree(packages, tree, "/venv")
        make_disk(tree, image, key)
    return image


def closure(names: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """The packages and everything that they require here."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found or name in LEFT_OUT:
            continue
        found[name] = importlib.metadata.distribution(name)
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def console_scripts(found: dict[str, importlib.metadata.Distribution]) -> dict[str, str]:
    """Our own commands and pytest's, as they would be in the environment's bin folder."""
    return {
        entry.name: SCRIPT.format(module=entry.module, function=entry.attr)
        for name in ("vgpu", "pytest")
        for entry in found[name].entry_points
        if entry.group == "console_scripts"
    }


def make_environment(tree: Path, scripts: dict[str, str]) -> None:
    """A virtual environment on Dom0's Python that finds our own packages in /repo."""
    (tree / "bin").mkdir()
    for name in ("python", "python3"):
        (tree / "bin" / name).symlink_to("/usr/bin/python3")
    (tree / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = true\n")
    for name, text in scripts.items():
        (tree / "bin" / name).write_text(text)
        (tree / "bin" / name).chmod(0o755)
    packages = tree / "lib" / PYTHON / "site-packages"
    packages.mkdir(parents=True)
    (packages / "repo.pth").write_text("/repo\n")
    tree.chmod(0o755)


def copy_package(package: importlib.metadata.Distribution, packages: Path) -> None:
    """A package's files; of an editable install only its metadata."""
    for file in package.files or ():
        parts = file.parts
        if ".." in parts or "__pycache__" in parts or parts[0].startswith("__editable__"):
            continue
        source = Path(str(package.locate_file(file)))
        if not source.is_file():
            continue
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
