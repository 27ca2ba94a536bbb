# SPDX-License-Identifier: Apache-2.0
"""Real Xen in QEMU: the suite, one command, or a shell in its Dom0. `README.md` is the runbook.

python -m tests.xen [pytest's arguments]       the suite (make test-xen)
python -m tests.xen --command 'xl list'        one command in Dom0; its exit code
python -m tests.xen --shell                    a shell in Dom0; ctrl-] ends it
python -m tests.xen --keep ...                 the same, in a machine that stays for the next --keep
python -m tests.xen --stop                     end that machine
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from tests.xen.dom0_root import Dom0, build_dom0
from tests.xen.jobs import run_job
from tests.xen.machine import Machine, kept_machine
from tests.xen.packages import build_packages_disk
from tests.xen.payload import build_app_disk, build_guest_disk, build_programs_disk
from tests.xen.places import BUILD, HarnessError, require_tools, stamp_of, step
from tests.xen.repository import build_repository_disk
from tests.xen.suite import run_suite
from tests.xen.terminal import run_shell

COMMAND_SECONDS = 1200
REFRESH_SECONDS = 60


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our own options; everything else is pytest's."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.xen",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--command", metavar="CMD", help="run this in Dom0 by bash")
    parser.add_argument("--app", type=Path, metavar="PATH", help="a program to run in a pod")
    parser.add_argument("--shell", action="store_true", help="a shell in Dom0")
    parser.add_argument("--keep", action="store_true", help="leave the machine running, and use it")
    parser.add_argument("--stop", action="store_true", help="end the machine that was kept")
    parser.add_argument("--seconds", type=float, default=COMMAND_SECONDS, help="limit of the run")
    return parser.parse_known_args(arguments)


def images(app: Path | None) -> tuple[Dom0, dict[str, Path]]:
    """What a machine boots and mounts, made again where it is out of date."""
    require_tools()
    BUILD.mkdir(parents=True, exist_ok=True)
    disks = {"venv": build_packages_disk(), "repo": build_repository_disk()}
    disks["programs"] = build_programs_disk()
    guest = build_guest_disk()
    if guest:
        disks["guest"] = guest
    if app:
        disks["app"] = build_app_disk(app)
    return build_dom0(), disks


def boot(keep: bool, app: Path | None) -> Machine:
    """A machine that takes jobs: a new one, or with `keep` the one that runs."""
    dom0, disks = images(app)
    machine = kept_machine() if keep else Machine(BUILD / "machine")
    if machine.is_running():
        if machine.has(dom0, disks):
            refresh(machine, disks["repo"])
            return machine
        print("xen: images changed since the kept machine started: starting another", flush=True)
        machine.power_off()
    machine.start(dom0, disks)
    print(f"xen: Dom0 ready: {machine.wait_ready():.1f} s", flush=True)
    return machine


def refresh(machine: Machine, image: Path) -> None:
    """Bring the checkout as it is now into a machine that runs."""
    if machine.repository_key() == stamp_of(image):
        return
    with step("repository into Dom0"):
        shutil.copyfile(image, machine.share / "repo.img")
        if run_job(machine, "/run/boot/refresh", REFRESH_SECONDS):
            raise HarnessError("the checkout did not reach the kept machine: --stop it")
    machine.set_repository_key(stamp_of(image))


def run(options: argparse.Namespace, rest: list[str]) -> int:
    """What the options ask for; the exit code."""
    machine = boot(options.keep, options.app)
    try:
        if options.shell:
            run_shell(machine)
            return 0
        if options.command:
            return run_job(machine, options.command, options.seconds)
        return run_suite(machine, rest, options.seconds, options.app)
    finally:
        if not options.keep:
            machine.power_off()


def main() -> int:
    """Command line."""
    options, rest = parse(sys.argv[1:])
    try:
        if options.stop:
            kept_machine().power_off()
            return 0
        return run(options, rest)
    except HarnessError as error:
        print(f"xen: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
