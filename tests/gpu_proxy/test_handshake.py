# SPDX-License-Identifier: Apache-2.0
"""Python's layout of the handshake, the snapshot and the counters is the C header's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_proxy import snapshot
from gpu_proxy.errors import DriverMissing
from idm import counters_page, handshake
from idm.errors import Refused

CSRC = Path(__file__).parents[2] / "idm" / "csrc"
EXPECTED = {
    "sizeof(struct idm_header)": handshake.HEADER.size,
    "sizeof(struct idm_hello)": handshake.HELLO.size,
    "sizeof(struct idm_welcome)": handshake.WELCOME.size,
    "sizeof(struct idm_refused)": handshake.REFUSED.size,
    "sizeof(struct idm_memory)": handshake.MEMORY.size,
    "sizeof(struct idm_snapshot)": snapshot.HEAD.size,
    "sizeof(struct idm_device)": snapshot.DEVICE.size,
    "offsetof(struct idm_device, memory_bytes)": 296,
    "offsetof(struct idm_counters, reserved)": counters_page.COUNTERS.size,
    "offsetof(struct idm_counters, busy_ns)": 8 * counters_page.COUNTER_NAMES.index("busy_ns"),
    "offsetof(struct idm_counters, launches)": 8 * counters_page.COUNTER_NAMES.index("launches"),
    "IDM_MAGIC": handshake.MAGIC,
    "IDM_VERSION": handshake.VERSION,
    "IDM_PAGE": handshake.PAGE,
    "IDM_RING_BYTES": handshake.RING_BYTES,
    "IDM_SLOTS": handshake.SLOTS,
    "IDM_SLOT_BYTES": handshake.SLOT_BYTES,
    "IDM_DOORBELLS": handshake.DOORBELLS,
    "IDM_CHUNK_BYTES": handshake.CHUNK_BYTES,
    "IDM_CHUNKS": handshake.CHUNKS,
    "IDM_GAUGES": handshake.GAUGES,
    "IDM_SLOTS_AT": handshake.SLOTS_AT,
    "IDM_REGION_BYTES": handshake.REGION_BYTES,
    "IDM_HANDLE_MAX": handshake.HANDLE_MAX,
    "IDM_TEXT_BYTES": handshake.TEXT_BYTES,
    "IDM_DEVICES_MAX": snapshot.DEVICES_MAX,
    "IDM_ATTRIBUTES": snapshot.ATTRIBUTES,
    "IDM_MSG_HELLO": handshake.MSG_HELLO,
    "IDM_MSG_WELCOME": handshake.MSG_WELCOME,
    "IDM_MSG_REFUSED": handshake.MSG_REFUSED,
    "IDM_MSG_MEMORY": handshake.MSG_MEMORY,
    "IDM_REFUSED_VERSION": handshake.REFUSED_VERSION,
    "IDM_REFUSED_WINDOW": handshake.REFUSED_WINDOW,
    "IDM_REFUSED_SESSIONS": handshake.REFUSED_SESSIONS,
    "IDM_REFUSED_INTERNAL": handshake.REFUSED_INTERNAL,
    "IDM_REFUSED_MALFORMED": handshake.REFUSED_MALFORMED,
}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
def test_layout_is_the_headers(tmp_path: Path) -> None:
    source = tmp_path / "layout.c"
    checks = [f'_Static_assert({name} == {value}, "{name}");' for name, value in EXPECTED.items()]
    source.write_text('#include "idm.h"\n' + "\n".join(checks) + "\n")
    subprocess.run(["gcc", "-std=c11", "-fsyntax-only", f"-I{CSRC}", source], check=True)


@given(st.binary(max_size=300))
def test_garbage_is_refused(message: bytes) -> None:
    with pytest.raises(Refused):
        handshake.parse_hello(message)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_only_possible_windows_pass(base: int, size: int) -> None:
    message = handshake.HELLO.pack(1, handshake.MAGIC, 1, 1, 0, base, size, b"x")
    try:
        hello = handshake.parse_hello(message)
    except Refused:
        return
    assert hello.window_base + hello.window_bytes <= handshake.ADDRESS_MAX
    assert hello.window_base % handshake.PAGE == 0


def test_program_names_are_made_printable() -> None:
    assert handshake.text_of(b"a\x1b[31m\xff\0rest") == "a?[31m\ufffd"


@given(st.text(max_size=300))
def test_texts_always_end_with_a_zero(text: str) -> None:
    message = handshake.refused(4, text)
    assert message[-1] == 0
    assert text.encode().startswith(message[8:].split(b"\0", 1)[0])


def example(memory: int = 1000) -> snapshot.Device:
    return snapshot.Device("X", bytes(16), (0, 1, 2), (8, 6), memory, {75: 8, 83: 1, 16: -1})


def test_snapshot_survives_packing() -> None:
    taken = snapshot.Snapshot(12080, (example(), example(2000)))
    assert snapshot.unpack(taken.pack()) == taken
    assert taken.total_memory() == 3000


def test_zones_see_their_quota_and_no_managed_memory() -> None:
    seen = snapshot.Snapshot(12080, (example(),)).for_zone(10).devices[0]
    assert seen.memory_bytes == 10
    assert seen.attributes == {75: 8, 83: 0, 16: -1}
    assert snapshot.Snapshot(12080, (example(),)).for_zone(0).devices[0].memory_bytes == 1000


@given(st.binary(max_size=3300))
def test_broken_snapshots_are_no_snapshots(data: bytes) -> None:
    with pytest.raises(DriverMissing):
        snapshot.unpack(data)
