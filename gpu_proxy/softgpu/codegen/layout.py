# SPDX-License-Identifier: Apache-2.0
"""Offsets in `struct sg_thread` (csrc/thread.h). A test compares them with the C compiler's."""

THREAD = {
    "arena_base": 0,
    "arena_bytes": 8,
    "shared_base": 16,
    "shared_bytes": 24,
    "local_base": 32,
    "local_bytes": 40,
    "local_top": 48,
    "params": 56,
    "param_bytes": 64,
    "dynamic_offset": 72,
    "dynamic_bytes": 76,
    "tid": 80,
    "ntid": 92,
    "ctaid": 104,
    "nctaid": 116,
    "grid_id": 128,
    "workspace": 136,
    "spins": 144,
    "result": 152,
}
THREAD_BYTES = 192

# Function addresses are tokens, not code addresses: kernels are hostile, and a token is checked
# before a call.
FUNCTION_TOKEN_BASE = 0xF500_0000_0000_0000
FUNCTION_TOKEN_SHIFT = 4

# Flags of a kernel in the image table (csrc/image.h).
KERNEL_NEEDS_FIBERS = 1
KERNEL_COROUTINE = 2

# Kinds of access of the runtime's slow paths (csrc/access.c).
ACCESS_WRITE = 1
ACCESS_GENERIC = 2
