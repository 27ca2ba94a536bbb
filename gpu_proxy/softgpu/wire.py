# SPDX-License-Identifier: Apache-2.0
"""What driver and compile helper say to each other (csrc/driver/helper.c has the same structs).

request   u32 magic, u32 kind, u32 number, u32 zero, u64 length, image
response  u32 magic, i32 status (0 or a CUresult), u64 length, object or error text
"""

from __future__ import annotations

import enum
import struct

MAGIC = 0x53474332
REQUEST = struct.Struct("<IIIIQ")
RESPONSE = struct.Struct("<IiQ")
MAX_IMAGE_BYTES = 512 << 20


class Kind(enum.IntEnum):
    """What is wanted of an image."""

    LOAD = 0  # its index, and code if it is small
    KERNEL = 1  # the code of kernel `number`
    FUNCTIONS = 2  # the code of the functions that can be called through pointers
