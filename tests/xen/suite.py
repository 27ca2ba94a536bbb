# SPDX-License-Identifier: Apache-2.0
"""The suite: pytest inside Dom0, its logs on the host, and a summary by each test's name."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from xml.etree import ElementTree

from tests.xen.jobs import run_job
from tests.xen.machine import Machine
from tests.xen.places import LOGS, ROOT, HarnessError

COLLECT_SECONDS = 120
INSIDE = "tests/xen/inside"
APP_TEST = f"{INSIDE}/test_app.py"
TEST_SECONDS = 600  # of one test; a busy machine makes emulation ten times slower


def run_suite(machine: Machine, arguments: list[str], seconds: float, app: Path | None) -> int:
    """Run, collect the logs whatever happened, and print the summary; pytest's exit code."""
    for old in ("logs", "junit.xml"):
        remove(machine.share / old)
    try:
        return run_job(machine, script(arguments, app), seconds)
    finally:
        collect(machine)
        summarize(LOGS / "junit.xml")


def script(arguments: list[str], app: Path | None) -> str:
    """The job: pytest on the whole folder, or on what the arguments name."""
    words = ["-v", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}"]
    words += ["--junitxml=/share/junit.xml", *arguments]
    if not names_tests(arguments):
        words.append(APP_TEST if app else INSIDE)
    variables = ["PYTHONDONTWRITEBYTECODE=1"]
    if app:
        variables.append(f"VGPU_XEN_APP=/app/{app.name}")
    return shlex.join(["env", *variables, "python", "-m", "pytest", *words]) + "\n"


def names_tests(arguments: list[str]) -> bool:
    """Whether they have a file or a folder of tests, so not the whole suite is meant."""
    paths = (one.split("::")[0] for one in arguments if not one.startswith("-"))
    return any((ROOT / path).exists() for path in paths)


def collect(machine: Machine) -> None:
    """Bring the logs to the host; of a machine that ended, its console at least."""
    remove(LOGS)
    LOGS.mkdir(parents=True)
    if machine.is_running():
        try:
            run_job(machine, "/run/boot/collect", COLLECT_SECONDS)
        except HarnessError as error:
            print(f"xen: no logs from Dom0: {error}", flush=True)
    for name in ("logs", "junit.xml"):
        found = machine.share / name
        if found.is_dir():
            shutil.copytree(found, LOGS, dirs_exist_ok=True)
        elif found.exists():
            shutil.copy(found, LOGS)
    shutil.copy(machine.console, LOGS)


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def summarize(report: Path) -> None:
    """Each test's name, outcome and seconds; a run that did not end has no report."""
    print(f"\nxen: logs are in {LOGS.relative_to(ROOT)}")
    if not report.exists():
        print("xen: pytest did not end, so it wrote no report")
        return
    outcomes = {"failure": "FAILED", "error": "ERROR", "skipped": "skipped"}
    print("xen: seconds under emulation, by test")
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = next((outcomes[one.tag] for one in case if one.tag in outcomes), "passed")
        name = f"{case.get('classname', '').rsplit('.', 1)[-1]}::{case.get('name')}"
        print(f"  {outcome:8} {float(case.get('time', 0)):7.1f}  {name}")
