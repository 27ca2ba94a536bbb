# SPDX-License-Identifier: Apache-2.0
"""Images up to date, and a machine that has them: a new one for this run, or the one that is kept."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.xen.dom0_root import Dom0, build_dom0
from tests.xen.jobs import run_job
from tests.xen.machine import Machine, find_machine
from tests.xen.packages import build_packages_disk
from tests.xen.payload import build_app_disk, build_guest_disk, build_programs_disk
from tests.xen.places import BUILD, HarnessError, require_tools, stamp_of, step
from tests.xen.repository import build_repository_disk

KEPT = BUILD / "kept"
REFRESH_SECONDS = 120


@contextmanager
def machine_for(app: Path | None, *, keep: bool) -> Iterator[Machine]:
    """A machine that takes jobs; without `keep` it ends with the block."""
    BUILD.mkdir(parents=True, exist_ok=True)
    if keep:
        with alone("kept"):
            machine = boot(KEPT, app)
        yield machine
        return
    with alone("machine"):
        machine = boot(BUILD / "machine", app)
        try:
            yield machine
        finally:
            machine.power_off()


def stop_kept() -> None:
    """End the machine that was kept."""
    find_machine(KEPT).power_off()


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until no other run of the harness in this checkout holds this lock."""
    with (BUILD / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"xen: waiting for another run that holds {file.name}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def boot(folder: Path, app: Path | None) -> Machine:
    """The machine of this folder if it runs from the images as they are now, else a new one."""
    with alone("images"):
        dom0, disks = images(app)
        machine = find_machine(folder)
        if machine.is_running():
            if folder == KEPT and machine.has(dom0, disks):
                refresh(machine, disks["repo"])
                return machine
            print("xen: ending a machine that has other images, or was left behind", flush=True)
            machine.power_off()
        machine.start(dom0, disks)
    print(f"xen: Dom0 ready: {machine.wait_ready():.1f} s", flush=True)
    return machine


def images(app: Path | None) -> tuple[Dom0, dict[str, Path]]:
    """What a machine boots and mounts, made again where it is out of date."""
    require_tools()
    disks = {
        "venv": build_packages_disk(),
        "repo": build_repository_disk(),
        "programs": build_programs_disk(),
        "guest": build_guest_disk(),
        "app": build_app_disk(app),
    }
    return build_dom0(), {name: image for name, image in disks.items() if image}


def refresh(machine: Machine, image: Path) -> None:
    """Bring the checkout as it is now into a machine that runs."""
    if machine.repository_key() == stamp_of(image):
        return
    with step("repository into Dom0"):
        shutil.copyfile(image, machine.share / "repo.img")
        if run_job(machine, "/run/boot/refresh", REFRESH_SECONDS):
            raise HarnessError("the checkout did not reach the kept machine: --stop it")
    machine.set_repository_key(stamp_of(image))
