# SPDX-License-Identifier: Apache-2.0
"""Memory cgroups of workers: where they can be, why they cannot, and what happens at the limit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon import Daemon
from front_end import FrontEnd, Refusal

from gpu_proxy import cgroups
from gpu_proxy.cgroups import AUTO, Cgroups, WorkerGroup
from gpu_proxy.errors import CgroupUnavailable

Start = Callable[..., Daemon]
UNIFIED = "30 23 0:26 / {mount} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHER = (
    "29 23 0:25 / /sys rw shared:7 - sysfs sysfs rw\n31 23 0:27 / /x rw - cgroup cgroup rw,cpu\n"
)
LIMIT = 96 << 20


class Tree:
    """A folder that looks like a hierarchy, and a process that is somewhere in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mount, self.process = folder / "cgroup", folder / "process"
        self.delegated: set[Path] = set()
        self.process.mkdir()
        self.make(self.mount)
        self.place("/unit")
        (self.process / "mountinfo").write_text(OTHER + UNIFIED.format(mount=self.mount))
        monkeypatch.setattr(cgroups.os, "getxattr", self._attribute)

    def make(self, path: Path, controllers: str = "cpu memory pids") -> Path:
        path.mkdir()
        (path / "cgroup.controllers").write_text(f"{controllers}\n")
        for name in ("cgroup.subtree_control", "cgroup.procs"):
            (path / name).touch()
        return path

    def place(self, inside: str) -> None:
        (self.process / "cgroup").write_text(f"4:memory:/old\n0::{inside}\n")

    def _attribute(self, path: Path, name: str) -> bytes:
        if path in self.delegated and name == "user.delegate":
            return b"1"
        raise OSError(61, "No data available")

    def reason(self, setting: str = AUTO) -> str:
        """Why there are none."""
        with pytest.raises(CgroupUnavailable) as caught:
            Cgroups(setting, self.process)
        return str(caught.value)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(tmp_path, monkeypatch)


def test_without_version_2_there_are_none(tree: Tree) -> None:
    (tree.process / "mountinfo").write_text(OTHER)
    assert "no cgroup of version 2" in tree.reason()
    (tree.process / "mountinfo").write_text(UNIFIED.format(mount=tree.mount))
    tree.place("/../outside")
    assert "no cgroup of version 2" in tree.reason()


def test_without_the_memory_controller_there_are_none(tree: Tree) -> None:
    """As where version 1 has it."""
    tree.make(tree.mount / "unit", "hugetlb")
    assert tree.reason() == f"{tree.mount}/unit has no memory controller (it has hugetlb)"
    assert "(it has none)" in tree.reason(str(tree.make(tree.mount / "asked", "")))


def test_the_daemons_own_is_used_only_if_delegated(tree: Tree) -> None:
    unit = tree.make(tree.mount / "unit")
    tree.make(unit / "daemon")
    assert "is not delegated" in tree.reason()
    tree.delegated.add(unit)
    assert Cgroups(AUTO, tree.process).base == unit
    assert (unit / "daemon" / "cgroup.procs").read_text() == str(os.getpid())
    assert (unit / "cgroup.subtree_control").read_text() == "+memory"


def test_a_cgroup_that_others_are_in_is_not_divided(tree: Tree) -> None:
    unit = tree.make(tree.mount / "unit")
    tree.make(unit / "daemon")
    tree.delegated.add(unit)
    (unit / "cgroup.procs").write_text(f"{os.getppid()}\n{os.getppid()}\n")
    assert "has other processes in it" in tree.reason()
    assert (unit / "cgroup.procs").read_text().startswith(str(os.getpid()))
    assert (unit / "cgroup.subtree_control").read_text() == ""


def test_a_namespace_hides_what_is_above(tree: Tree) -> None:
    """The mount shows a part of the hierarchy; the path of the process is in the whole."""
    line = UNIFIED.replace(" / ", " /pod/one ").format(mount=tree.mount)
    (tree.process / "mountinfo").write_text(line)
    tree.place("/pod/one/unit")
    tree.delegated.add(tree.make(tree.mount / "unit"))
    tree.make(tree.mount / "unit" / "daemon")
    assert Cgroups(AUTO, tree.process).base == tree.mount / "unit"


def test_a_named_one_needs_no_mark(tree: Tree) -> None:
    asked = tree.make(tree.mount / "asked")
    (asked / "vgpu-worker-999999999-1").mkdir()  # of a daemon that was killed
    mine = asked / f"vgpu-worker-{os.getpid()}-1"
    mine.mkdir()
    assert Cgroups(str(asked), tree.process).base == asked
    assert [path for path in asked.iterdir() if path.is_dir()] == [mine]


def test_what_the_kernel_refuses_is_the_reason(tree: Tree) -> None:
    assert "No such file or directory" in tree.reason(str(tree.mount / "no" / "where"))
    asked = tree.make(tree.mount / "asked")
    (asked / "cgroup.subtree_control").unlink()
    assert tree.reason(str(asked)) == f"{asked}: No such file or directory"


def test_only_an_end_by_the_kernel_is_one(tmp_path: Path) -> None:
    group = WorkerGroup(tmp_path, LIMIT)
    for count in (0, 1):
        (tmp_path / "memory.events").write_text(f"low 0\nmax 12\noom 3\noom_kill {count}\n")
        assert group.was_exhausted() is bool(count)


def test_a_cgroup_is_removed_once_it_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "REMOVE_SECONDS", 0)
    tries: list[int] = []

    def busy(_: Path) -> None:
        tries.append(1)
        if len(tries) < 5:
            raise OSError(16, "Device or resource busy")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rmdir", busy)
        assert asyncio.run(WorkerGroup(tmp_path, LIMIT).remove())
        tries.clear()
        patch.setattr(cgroups, "REMOVE_TRIES", 3)
        assert not asyncio.run(WorkerGroup(tmp_path, LIMIT).remove())
    assert asyncio.run(WorkerGroup(tmp_path / "gone", LIMIT).remove())


def configured(runtime_dir: Path, text: str) -> str:
    path = runtime_dir.with_name("vgpu.toml")
    path.write_text(text)
    return f"--config={path}"


def test_the_daemon_does_not_start_without_what_was_asked_for(
    runtime_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "cgroup.controllers").touch()
    daemon = Daemon(runtime_dir, configured(runtime_dir, f'[workers]\ncgroup = "{tmp_path}"\n'))
    assert daemon.process.wait(60) == 1
    text = f"[workers] cgroup: {tmp_path} has no memory controller (it has none)"
    assert any(text in str(line.get("text")) for line in daemon.lines())


def test_a_worker_that_gets_none_is_not_started(
    start: Start, tree: Tree, runtime_dir: Path
) -> None:
    """What was promised at the start must hold for every session."""
    asked = tree.make(tree.mount / "asked")
    daemon = start(configured(runtime_dir, f'[workers]\ncgroup = "{asked}"\n'))
    assert daemon.wait_for("worker-cgroups")["path"] == str(asked)
    with pytest.raises(Refusal) as refusal:
        FrontEnd(daemon.socket())
    assert "no worker" in str(refusal.value)
    assert not list(asked.glob("vgpu-worker-*"))


@pytest.fixture(scope="module")
def real() -> Iterator[Path]:
    """A real cgroup that workers may be put under."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    unified = [line.split()[4] for line in mounts if " - cgroup2 " in line]
    if not unified:
        pytest.skip("no cgroup of version 2 is mounted")
    root = Path(unified[0])
    if "memory" not in (root / "cgroup.controllers").read_text().split():
        pytest.skip(f"{root} has no memory controller: version 1 has it on this machine")
    base = root / f"vgpu-test-{os.getpid()}"
    try:
        (root / "cgroup.subtree_control").write_text("+memory")
        base.mkdir()
        (base / "cgroup.subtree_control").write_text("+memory")
    except OSError as error:
        pytest.skip(f"no cgroup can be made in {root}: {error}")
    yield base
    base.rmdir()


def test_a_worker_over_its_limit_ends_alone(start: Start, real: Path, runtime_dir: Path) -> None:
    text = f'[workers]\ncgroup = "{real}"\n[zone.default]\nworker_memory = {LIMIT}\n'
    daemon = start(configured(runtime_dir, text))
    greedy, modest = FrontEnd(daemon.socket()), FrontEnd(daemon.socket())
    for session in (greedy, modest):
        worker = daemon.wait_for("session-started", session=session.number)["worker"]
        (group,) = real.glob(f"vgpu-worker-*-{session.number}")
        assert (group / "cgroup.procs").read_text().split() == [str(worker)]
        assert int((group / "memory.max").read_text()) == LIMIT
        session.ask("take_memory", size=8 << 20)
    with pytest.raises(ConnectionError):
        greedy.ask("take_memory", size=2 * LIMIT)
    line = daemon.wait_for("session-ended", session=greedy.number)
    assert line["reason"] == "worker-memory: over 96.0 MiB"
    assert line["worker_status"] == "SIGKILL"
    modest.ask("take_memory", size=8 << 20)
    modest.close()
    assert daemon.wait_for("session-ended", session=modest.number)["reason"] == "closed"
    assert daemon.stop() == 0
    assert not list(real.glob("vgpu-worker-*"))
    greedy.close()


def test_the_daemon_moves_down_in_its_own(real: Path) -> None:
    """A process of its own, since the test's must not move."""
    script = f"""
import os, signal
from pathlib import Path
from gpu_proxy import cgroups
own = Path({str(real)!r}) / "unit"
own.mkdir()
(own / "cgroup.procs").write_text(str(os.getpid()))
cgroups._is_delegated = lambda path: path == own
found = cgroups.Cgroups("auto")
group = found.make(1, 1 << 30)
child = os.fork()
if child == 0:
    signal.pause()
group.add(child)
print((own / "daemon" / "cgroup.procs").read_text().split() == [str(os.getpid())])
print((group.path / "cgroup.procs").read_text().split() == [str(child)])
os.kill(child, 9)
os.waitpid(child, 0)
group.path.rmdir()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    (real / "unit" / "daemon").rmdir()
    (real / "unit").rmdir()
    assert done.stdout.split() == ["True", "True"], done.stderr
