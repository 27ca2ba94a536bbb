# SPDX-License-Identifier: Apache-2.0
"""The device snapshot: what the front end answers about devices by itself; layout as in idm.h."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gpu_proxy.errors import DriverMissing
from idm.handshake import MAGIC

DEVICES_MAX = 16
ATTRIBUTES = 256
HEAD = struct.Struct("<IIii")
DEVICE = struct.Struct(f"<256s16s3i2iIQ8sII{ATTRIBUTES}i{ATTRIBUTES}B")

# Managed memory (83, 89, 101), pageable access (88, 100) and host pointers of another meaning (99):
# they read 0 until the front end implements them.
# Handles that leave the process (103 descriptors, 119 pools', 125 events, 128 fabric) and DMA by
# others (116 RDMA, 124 DMA-BUF): a zone's process cannot use them, for they would be the worker's.
ZERO_ATTRIBUTES = (83, 88, 89, 99, 100, 101, 103, 116, 119, 124, 125, 128)


@dataclass(frozen=True)
class Device:
    """One device as the driver describes it."""

    name: str
    uuid: bytes
    pci: tuple[int, int, int]
    compute: tuple[int, int]
    memory_bytes: int
    attributes: Mapping[int, int]
    luid: bytes = bytes(8)
    luid_mask: int = 0
    luid_valid: bool = False


@dataclass(frozen=True)
class Snapshot:
    """All devices and the driver's version."""

    driver_version: int
    devices: tuple[Device, ...]

    def pack(self) -> bytes:
        """Return struct idm_snapshot."""
        size = HEAD.size + len(self.devices) * DEVICE.size
        head = HEAD.pack(MAGIC, size, self.driver_version, len(self.devices))
        return head + b"".join(_pack_device(d) for d in self.devices)

    def total_memory(self) -> int:
        """Return the bytes of all devices together."""
        return sum(d.memory_bytes for d in self.devices)

    def for_zone(self, device_memory: int, zero: Iterable[int] = ZERO_ATTRIBUTES) -> Snapshot:
        """Return what a zone with this quota sees; a quota of 0 is the whole device."""
        return replace(self, devices=tuple(_for_zone(d, device_memory, zero) for d in self.devices))


def _for_zone(device: Device, quota: int, zero: Iterable[int]) -> Device:
    attributes = dict(device.attributes)
    attributes.update({number: 0 for number in zero if number in attributes})
    memory = min(quota, device.memory_bytes) if quota else device.memory_bytes
    return replace(device, attributes=attributes, memory_bytes=memory)


def _pack_device(device: Device) -> bytes:
    values = [device.attributes.get(number, 0) for number in range(ATTRIBUTES)]
    valid = [number in device.attributes for number in range(ATTRIBUTES)]
    return DEVICE.pack(
        device.name.encode()[:255],
        device.uuid,
        *device.pci,
        *device.compute,
        0,
        device.memory_bytes,
        device.luid,
        device.luid_mask,
        device.luid_valid,
        *values,
        *valid,
    )


def unpack(data: bytes) -> Snapshot:
    """Read struct idm_snapshot. Raises DriverMissing when it is none."""
    if len(data) < HEAD.size:
        raise DriverMissing("the probe gave no device snapshot")
    magic, size, version, count = HEAD.unpack_from(data)
    if magic != MAGIC or not 0 <= count <= DEVICES_MAX or size != len(data):
        raise DriverMissing("the probe gave no valid device snapshot")
    if size != HEAD.size + count * DEVICE.size:
        raise DriverMissing(f"the probe's snapshot has {size} bytes for {count} devices")
    devices = (_unpack_device(data, HEAD.size + i * DEVICE.size) for i in range(count))
    return Snapshot(version, tuple(devices))


def _unpack_device(data: bytes, offset: int) -> Device:
    fields = DEVICE.unpack_from(data, offset)
    name, uuid, domain, bus, slot, major, minor, _, memory, luid, mask, valid = fields[:12]
    values, known = fields[12 : 12 + ATTRIBUTES], fields[12 + ATTRIBUTES :]
    return Device(
        name=name.split(b"\0", 1)[0].decode("utf-8", "replace"),
        uuid=uuid,
        pci=(domain, bus, slot),
        compute=(major, minor),
        memory_bytes=memory,
        attributes={n: v for n, (v, k) in enumerate(zip(values, known, strict=True)) if k},
        luid=luid,
        luid_mask=mask,
        luid_valid=bool(valid),
    )
