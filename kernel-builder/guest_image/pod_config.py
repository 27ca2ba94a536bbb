# SPDX-License-Identifier: Apache-2.0
"""Configurations for `xl create`, from the template `pod.cfg`."""

from __future__ import annotations

from string import Template

from guest_image.places import HERE

TEMPLATE = HERE / "pod.cfg"
# Where the files are expected in Dom0 unless the build is told otherwise.
FOLDER = "/usr/lib/vgpu/guest"
IDLE_MIB = 60
ABOUT = {
    "pv": "# Paravirtual: runs on every machine, also without virtualization in the processor.",
    "pvh": "# Needs virtualization in the processor (VT-x, AMD-V), and is faster with it than PV.",
}


def configurations(folder: str) -> dict[str, str]:
    """The text of each file by its name."""
    text = Template(TEMPLATE.read_text())
    return {
        f"pod-{kind}.cfg": text.substitute(
            type=kind, about_type=about, folder=folder, idle_mib=IDLE_MIB
        )
        for kind, about in ABOUT.items()
    }
