# SPDX-License-Identifier: Apache-2.0
"""A pod domain as it is asked for, and the xl configuration that says so."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpu_proxy.domain.guest import Guest
from gpu_proxy.errors import DomainError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
NOT_IN_A_VALUE = re.compile(r"[\"\\\x00-\x1f]")  # xl's syntax cannot write them
MEMORY_MIB_MIN = 64


@dataclass(frozen=True)
class Pod:
    """One domain. `quota` has the keys that gpu-proxy reads of an announced domain."""

    name: str
    memory_mib: int
    guest: Guest
    image: Path | None = None  # a disk or a directory; commands run in what it holds
    kind: str = "pvh"
    vcpus: int = 1
    grant_frames: int = 0  # 0: xl's own default
    networks: tuple[str, ...] = ()  # xl's vif specifications
    more: tuple[str, ...] = ()  # lines of xl's configuration; they win over ours
    zone: str = ""  # default: the domain's name
    quota: Mapping[str, str | int] = field(default_factory=dict)

    def check(self) -> None:
        """Raise DomainError for what xl would only refuse in words of its own."""
        if not NAME.fullmatch(self.name):
            raise DomainError(
                f"{self.name!r} is no name for a domain: a letter, then up to 62 of"
                " letters, digits, '.', '_', '-'"
            )
        if self.memory_mib < MEMORY_MIB_MIN:
            raise DomainError(f"{self.memory_mib} MiB of memory; a domain needs {MEMORY_MIB_MIN}")


def configuration(pod: Pod) -> str:
    """Return the text of an xl configuration; JSON's values are what it reads.

    Raises DomainError.
    """
    disks = [*pod.guest.disks, *([pod.image] if pod.image else [])]
    options = pod.guest.options
    if pod.image:
        options += f" vgpu.image=/dev/{_device(len(pod.guest.disks))}"
    if pod.grant_frames:  # the guest cannot see the number
        options += f" vgpu.grant-frames={pod.grant_frames}"
    values: dict[str, object] = {
        "name": pod.name,
        "type": pod.kind,
        "kernel": str(pod.guest.kernel),
        "memory": pod.memory_mib,
        "vcpus": pod.vcpus,
        "extra": options,
        "disk": [_disk(number, path) for number, path in enumerate(disks)],
        "on_poweroff": "destroy",
        "on_reboot": "destroy",
        "on_crash": "destroy",
    }
    if pod.guest.ramdisk:
        values["ramdisk"] = str(pod.guest.ramdisk)
    if pod.grant_frames:
        values["max_grant_frames"] = pod.grant_frames
    if pod.networks:
        values["vif"] = list(pod.networks)
    for text in (pod.kind, options, *map(str, (pod.guest.kernel, *disks)), *pod.networks):
        if NOT_IN_A_VALUE.search(text):
            raise DomainError(f"{text!r} cannot be written in an xl configuration")
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
    return "\n".join([*lines, *pod.more]) + "\n"


def _device(number: int) -> str:
    return f"xvd{string.ascii_lowercase[number]}"


def _disk(number: int, path: Path) -> str:
    """Return xl's words for a read-only disk. The target comes last: it may hold commas."""
    return f"format=raw,vdev={_device(number)},access=ro,target={path}"
