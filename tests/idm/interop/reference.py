# SPDX-License-Identifier: Apache-2.0
"""MD2 and HMAC in Python, written from the RFCs and not from our C code.

The substitution table is derived from the digits of pi, as the RFC says, so that a wrong byte in
the C table shows.
"""

from __future__ import annotations

from collections.abc import Iterator


def _digits_of_pi() -> Iterator[int]:
    """Decimal digits by Gibbons' unbounded spigot."""
    q, r, t, k, n, m = 1, 0, 1, 1, 3, 3
    while True:
        if 4 * q + r - t < n * t:
            yield n
            q, r, n = 10 * q, 10 * (r - n * t), (10 * (3 * q + r)) // t - 10 * n
        else:
            q, r, t, k, n, m = (
                q * k,
                (2 * q + r) * m,
                t * m,
                k + 1,
                (q * (7 * k + 2) + r * m) // (t * m),
                m + 2,
            )


def _substitution() -> list[int]:
    """A shuffle of 0..255 that takes its random numbers from pi."""
    digits = _digits_of_pi()

    def below(limit: int) -> int:
        count = 1 if limit <= 10 else 2 if limit <= 100 else 3
        number = 0
        for _ in range(count):
            number = 10 * number + next(digits)
        usable = limit * (10**count // limit)
        return number % limit if number < usable else below(limit)

    table = list(range(256))
    for i in range(1, 256):
        j = below(i + 1)
        table[j], table[i] = table[i], table[j]
    return table


SUBSTITUTION = _substitution()


def md2(data: bytes) -> bytes:
    """RFC 1319, on the whole message at once."""
    padding = 16 - len(data) % 16
    message = data + bytes([padding]) * padding
    checksum, last = bytearray(16), 0
    for start in range(0, len(message), 16):
        for j in range(16):
            checksum[j] ^= SUBSTITUTION[message[start + j] ^ last]
            last = checksum[j]
    message += bytes(checksum)
    state = bytearray(48)
    for start in range(0, len(message), 16):
        block = message[start : start + 16]
        state[16:32] = block
        state[32:48] = bytes(a ^ b for a, b in zip(block, state[:16], strict=True))
        t = 0
        for j in range(18):
            for k in range(48):
                t = state[k] = state[k] ^ SUBSTITUTION[t]
            t = (t + j) % 256
    return bytes(state[:16])


def hmac_md2(key: bytes, data: bytes) -> bytes:
    """RFC 2104 with a key of exactly one block."""
    inner = bytes(k ^ 0x36 for k in key)
    outer = bytes(k ^ 0x5C for k in key)
    return md2(outer + md2(inner + data))
