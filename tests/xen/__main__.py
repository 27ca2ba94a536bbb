# SPDX-License-Identifier: Apache-2.0
"""Real Xen in QEMU: the suite, one command, or a shell in its Dom0. `README.md` is the runbook.

python -m tests.xen [pytest's arguments]       the suite (make test-xen)
python -m tests.xen --app PATH                 one program in a pod (make test-xen APP=PATH)
python -m tests.xen --command 'xl list'        one command in Dom0; its exit code
python -m tests.xen --shell                    a shell in Dom0; ctrl-] ends it
python -m tests.xen --keep ...                 any of these in a machine that stays for the next --keep
python -m tests.xen --stop                     end that machine
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.xen.jobs import run_job
from tests.xen.payload import require_guest
from tests.xen.places import HarnessError
from tests.xen.session import machine_for, stop_kept
from tests.xen.suite import names_tests, run_suite
from tests.xen.terminal import run_shell

RUN_SECONDS = 1200
EXIT_HARNESS = 70  # the harness failed; pytest's own codes are below 10
EXIT_INTERRUPTED = 130


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our own options; everything else is pytest's."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.xen",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--app", type=Path, metavar="PATH", help="a program to run in a pod")
    parser.add_argument("--command", metavar="CMD", help="run this in Dom0 by bash")
    parser.add_argument("--shell", action="store_true", help="a shell in Dom0")
    parser.add_argument("--keep", action="store_true", help="leave the machine running, and use it")
    parser.add_argument("--stop", action="store_true", help="end the machine that was kept")
    parser.add_argument("--seconds", type=float, default=RUN_SECONDS, help="limit of the run")
    return parser.parse_known_args(arguments)


def run(options: argparse.Namespace, rest: list[str]) -> int:
    """What the options ask for; the exit code."""
    if not (options.command or options.shell or options.app or names_tests(rest)):
        require_guest()
    with machine_for(options.app, keep=options.keep) as machine:
        if options.shell:
            run_shell(machine)
            return 0
        if options.command:
            return run_job(machine, options.command, options.seconds)
        return run_suite(machine, rest, options.seconds, options.app)


def main() -> int:
    """Command line."""
    options, rest = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.stop:
            stop_kept()
            return 0
        return run(options, rest)
    except HarnessError as error:
        print(f"xen: {error}", file=sys.stderr)
        return EXIT_HARNESS
    except KeyboardInterrupt:
        print("xen: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
