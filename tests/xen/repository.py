# SPDX-License-Identifier: Apache-2.0
"""The disk `repo`: this checkout as it is now, with what `make build` compiled.

A copy of the tree is kept in the build folder and only what changed is copied and compiled again, so
an edited Python file is in Dom0 about a second later.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.xen.disks import make_disk
from tests.xen.dom0_root import compile_tree
from tests.xen.places import BUILD, ROOT, HarnessError, digest_of_files, is_fresh, step, tool

# Each part that is compiled, and the command that makes it.
COMPILED = {
    "idm/_ring*.so": "idm.ring_build",
    "gpu_proxy/_executor*.so": "gpu_proxy.executor_build",
    "libvgpu/_lib/lib*.so*": "libvgpu.build",
    "gpu_proxy/softgpu/_lib/*.so*": "gpu_proxy.softgpu.build",
}


def build_repository_disk() -> Path:
    """Make it when a file changed."""
    image = BUILD / "repo.img"
    files = repository_files()
    key = digest_of_files(ROOT / file for file in files)
    if is_fresh(image, key):
        return image
    with step("repository"):
        tree = BUILD / "repo"
        synchronize(files, tree)
        compile_tree(tree, tree, "/repo")
        make_disk(tree, image, key)
    return image


def repository_files() -> list[Path]:
    """What git knows or would add, and the compiled parts."""
    command = [tool("git"), "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError(f"the checkout's list of files: {done.stderr.strip()}")
    names = {Path(name) for name in done.stdout.split("\0") if name}
    return sorted({name for name in names if (ROOT / name).exists()} | compiled_parts())


def compiled_parts() -> set[Path]:
    """What the C parts of this checkout were compiled to."""
    found = set()
    for pattern, module in COMPILED.items():
        parts = {file for file in ROOT.glob(pattern) if file.suffix != ".stamp"}
        if not parts:
            raise HarnessError(f"missing: {pattern} (make build, or python -m {module})")
        found |= {part.relative_to(ROOT) for part in parts}
    return found


def synchronize(files: list[Path], tree: Path) -> None:
    """Make the tree hold these files, and byte code of nothing else."""
    tree.mkdir(parents=True, exist_ok=True)
    tree.chmod(0o755)
    wanted = {str(file) for file in files}
    for folder, _, names in os.walk(tree, topdown=False):
        for name in names:
            path = Path(folder, name)
            if source_of(path.relative_to(tree)) not in wanted:
                path.unlink()
        if folder != str(tree) and not os.listdir(folder):
            os.rmdir(folder)
    for file in files:
        source, target = ROOT / file, tree / file
        if not is_same(source, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def source_of(path: Path) -> str:
    """The file itself, or the source that byte code was made from."""
    if path.parent.name != "__pycache__":
        return str(path)
    return str(path.parent.parent / (path.name.split(".")[0] + ".py"))


def is_same(source: Path, target: Path) -> bool:
    """Whether size, time and mode are the same."""
    if not os.path.lexists(target):
        return False
    one, other = source.lstat(), target.lstat()
    return (one.st_size, one.st_mtime_ns, one.st_mode) == (
        other.st_size,
        other.st_mtime_ns,
        other.st_mode,
    )
