# SPDX-License-Identifier: Apache-2.0
"""`vgpu lib`: print the path of libvgpu.so, for LD_PRELOAD=$(vgpu lib)."""

from __future__ import annotations

import argparse

from gpu_proxy.cli.places import library


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("lib", help="print the path of libvgpu.so")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Run the command."""
    print(library())
    return 0
