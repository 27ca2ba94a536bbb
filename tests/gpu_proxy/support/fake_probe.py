# SPDX-License-Identifier: Apache-2.0
"""A probe that needs no driver: one invented device."""

from __future__ import annotations

import sys

from gpu_proxy.snapshot import Device, Snapshot

DEVICE = Device(
    name="Fake GPU",
    uuid=bytes(range(16)),
    pci=(0, 1, 0),
    compute=(8, 0),
    memory_bytes=1 << 30,
    attributes={1: 1024, 75: 8, 76: 0, 83: 1, 100: 1},
)


def main() -> None:
    """Write the snapshot as the real probe does."""
    sys.stdout.buffer.write(Snapshot(13000, (DEVICE,)).pack())


if __name__ == "__main__":
    main()
