# SPDX-License-Identifier: Apache-2.0
"""Whether kernels could read host memory of their worker at will, which the sandbox cannot forbid.

With HMM the driver maps pages of the process that the GPU touches; with ATS the GPU walks the
process's page tables itself. The driver says of each device whether one of them is in use; the
module's parameters say who has decided so, and speak where the driver does not.
"""

from __future__ import annotations

from pathlib import Path

from gpu_proxy.snapshot import Snapshot

PARAMETERS = Path("/sys/module/nvidia_uvm/parameters")
HMM_OFF, ATS = "uvm_disable_hmm", "uvm_ats_mode"
PAGEABLE_ACCESS, HOST_PAGE_TABLES = 88, 100  # CUdevice_attribute numbers
YES = ("1", "Y", "y")
CONSEQUENCE = "kernels can read and write all memory of their worker"


def _parameter(folder: Path, name: str) -> str | None:
    try:
        return (folder / name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def risks(snapshot: Snapshot, folder: Path = PARAMETERS) -> list[str]:
    """Return why kernels could read host memory, a line each; nothing when they cannot."""
    found = []
    for device in snapshot.devices:
        known = device.attributes
        if known.get(HOST_PAGE_TABLES):
            found.append(
                f"ATS is on for {device.name}: {CONSEQUENCE}; load nvidia_uvm with {ATS}=0"
                f" ({_said(folder, ATS)})"
            )
        elif known.get(PAGEABLE_ACCESS):
            found.append(
                f"HMM is on for {device.name}: {CONSEQUENCE}; load nvidia_uvm with {HMM_OFF}=1"
                f" ({_said(folder, HMM_OFF)})"
            )
        elif not {PAGEABLE_ACCESS, HOST_PAGE_TABLES} <= known.keys():
            found += _unknown(device.name, folder)
    return list(dict.fromkeys(found))


def _said(folder: Path, name: str) -> str:
    value = _parameter(folder, name)
    return f"{name} is {value!r}" if value is not None else f"no {folder / name}"


def _unknown(name: str, folder: Path) -> list[str]:
    """The driver is too old to say: then only a parameter that turns both off is good enough."""
    hmm, ats = _parameter(folder, HMM_OFF), _parameter(folder, ATS)
    if hmm in YES and ats in (None, "0"):
        return []
    return [
        f"the driver does not say whether {name} reads host memory by HMM or ATS"
        f" ({_said(folder, HMM_OFF)}, {_said(folder, ATS)})"
    ]
