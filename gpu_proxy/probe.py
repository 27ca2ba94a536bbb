# SPDX-License-Identifier: Apache-2.0
"""Asks the driver once what devices there are, in a process of its own: the supervisor has no CUDA.

Writes struct idm_snapshot to standard output; on failure a line to standard error, exit code 1.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from gpu_proxy.errors import DriverMissing
from gpu_proxy.snapshot import ATTRIBUTES, DEVICES_MAX, Device, Snapshot

MAJOR, MINOR, PCI_BUS, PCI_DEVICE, PCI_DOMAIN = 75, 76, 33, 34, 50


@dataclass(frozen=True)
class _Number:
    """An attribute's number in the shape of cuda-python's enumeration, which may lack new ones."""

    value: int

    def __int__(self) -> int:
        return self.value


def bind(library: str) -> Any:
    """Return cuda-python's driver module, bound to this library or to the system's."""
    if library:
        try:
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise DriverMissing(f"the software GPU cannot be loaded: {error}") from None
    from cuda.bindings import driver

    return driver


def checked(driver: Any, what: str, result: tuple[Any, ...]) -> Any:
    """Return the value of a call, or raise DriverMissing with CUDA's own name of the error."""
    status = result[0]
    if int(status) != 0:
        raise DriverMissing(f"{what} failed: {driver.CUresult(status).name}")
    return result[1] if len(result) == 2 else result[1:]


def take(driver: Any) -> Snapshot:
    """Ask for everything."""
    try:
        started = driver.cuInit(0)
    except (ImportError, RuntimeError, OSError) as error:  # The kinds change with cuda-python.
        raise DriverMissing(f"no CUDA driver library: {str(error).splitlines()[0]}") from None
    checked(driver, "cuInit", started)
    version = checked(driver, "cuDriverGetVersion", driver.cuDriverGetVersion())
    count = checked(driver, "cuDeviceGetCount", driver.cuDeviceGetCount())
    if count == 0:
        raise DriverMissing("the CUDA driver works but reports no device")
    return Snapshot(version, tuple(_device(driver, n) for n in range(min(count, DEVICES_MAX))))


def _device(driver: Any, ordinal: int) -> Device:
    device = checked(driver, "cuDeviceGet", driver.cuDeviceGet(ordinal))
    name = checked(driver, "cuDeviceGetName", driver.cuDeviceGetName(255, device))
    uuid = checked(driver, "cuDeviceGetUuid", driver.cuDeviceGetUuid(device))
    memory = checked(driver, "cuDeviceTotalMem", driver.cuDeviceTotalMem(device))
    known = _attributes(driver, device)
    luid, mask, valid = _luid(driver, device)
    return Device(
        name=name.split(b"\0", 1)[0].decode("utf-8", "replace"),
        uuid=bytes(uuid.bytes),
        pci=(known.get(PCI_DOMAIN, 0), known.get(PCI_BUS, 0), known.get(PCI_DEVICE, 0)),
        compute=(known.get(MAJOR, 0), known.get(MINOR, 0)),
        memory_bytes=memory,
        attributes=known,
        luid=luid,
        luid_mask=mask,
        luid_valid=valid,
    )


def _attributes(driver: Any, device: Any) -> dict[int, int]:
    """Try every number: the driver may know more than this cuda-python, or less."""
    known = {}
    for number in range(1, ATTRIBUTES):
        status, value = driver.cuDeviceGetAttribute(_Number(number), device)
        if int(status) == 0:
            known[number] = value
    return known


def _luid(driver: Any, device: Any) -> tuple[bytes, int, bool]:
    """Only Windows has LUIDs; elsewhere the driver says that it has none."""
    result = driver.cuDeviceGetLuid(device)
    if int(result[0]) != 0:
        return bytes(8), 0, False
    return bytes(result[1][:8]).ljust(8, b"\0"), int(result[2]), True


def main() -> int:
    """Entry point of `python -m gpu_proxy.probe`."""
    parser = argparse.ArgumentParser(prog="gpu_proxy.probe")
    parser.add_argument("--driver-library", default="", help="the software GPU, or nothing")
    options = parser.parse_args()
    try:
        data = take(bind(options.driver_library)).pack()
    except DriverMissing as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
