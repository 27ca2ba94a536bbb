# SPDX-License-Identifier: Apache-2.0
"""`vgpu`: the commands for users and operators."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gpu_proxy.cli import domain, info, lib, run, top
from gpu_proxy.errors import GpuProxyError


def parser() -> argparse.ArgumentParser:
    """Return the command line's description."""
    result = argparse.ArgumentParser(prog="vgpu", description="Use and watch GPU zones.")
    commands = result.add_subparsers(required=True, metavar="COMMAND")
    for command in (lib, run, info, top, domain):
        command.add(commands)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `vgpu`."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except GpuProxyError as error:
        print(f"vgpu: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
