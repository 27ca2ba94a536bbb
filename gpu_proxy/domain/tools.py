# SPDX-License-Identifier: Apache-2.0
"""The tools of the toolstack that we call: xl, and what makes a disk of a directory."""

from __future__ import annotations

import shutil
import subprocess

from gpu_proxy.errors import ToolFailed

# Each tool, and the Debian package that has it.
PACKAGES = {"xl": "xen-utils-common", "mkfs.erofs": "erofs-utils", "mksquashfs": "squashfs-tools"}
SEARCH = "/usr/sbin:/sbin:/usr/bin:/bin"  # also where PATH leaves out what is root's
TAIL_CHARACTERS = 2000


def find_tool(*names: str) -> str:
    """Return the path of the first of these tools that is there. Raises ToolFailed."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=SEARCH)
        if found:
            return found
    wanted = " or ".join(f"{name} (apt install {PACKAGES[name]})" for name in names)
    raise ToolFailed(f"missing: {wanted}")


def run_tool(path: str, *arguments: object) -> str:
    """Run a tool to its end; what it printed. Raises ToolFailed."""
    command = [path, *map(str, arguments)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        start_new_session=True,  # ctrl-C is ours: a tool in the middle of its work does not get it
    )
    if done.returncode:
        said = done.stdout[-TAIL_CHARACTERS:].strip()
        raise ToolFailed(f"{' '.join(command)} failed with {done.returncode}:\n{said}")
    return done.stdout


def xl(*arguments: object) -> str:
    """Run `xl`. Raises ToolFailed."""
    return run_tool(find_tool("xl"), *arguments)
