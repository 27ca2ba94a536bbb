# SPDX-License-Identifier: Apache-2.0
"""Builds what a pod domain boots; `kernel-builder/README.md` is the runbook.

python -m guest_image                 kernel and root image into build/guest (make guest-image)
python -m guest_image --locked        the same, or an error when a locked package is gone
python -m guest_image lock            write packages.lock anew from the archive (make guest-lock)
python -m guest_image reproduce       build the image twice and compare; --kernel the kernel too
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from guest_image.build import build
from guest_image.packages import lock_now
from guest_image.places import GuestError, Places, say
from guest_image.pod_config import FOLDER
from guest_image.reproduce import reproduce


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m guest_image",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action", nargs="?", choices=("build", "lock", "reproduce"), default="build"
    )
    parser.add_argument("--locked", action="store_true", help="accept no other packages")
    parser.add_argument("--kernel", action="store_true", help="reproduce: the kernel as well")
    parser.add_argument("--sources", type=Path, help="another list of archives")
    parser.add_argument("--folder", default=FOLDER, help="where the files will lie in Dom0")
    return parser.parse_args(arguments)


def act(options: argparse.Namespace, places: Places) -> int:
    """What the options ask for; the exit code."""
    if options.action == "lock":
        for line in lock_now(places) or ["nothing changed"]:
            say(line)
        return 0
    if options.action == "reproduce":
        return reproduce(places, kernel=options.kernel)
    build(places, strict=options.locked, folder=options.folder)
    return 0


def main() -> int:
    """Command line."""
    options = parse(sys.argv[1:])
    places = Places()
    if options.sources:
        places = replace(places, sources=options.sources)
    try:
        return act(options, places)
    except GuestError as error:
        print(f"guest: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
