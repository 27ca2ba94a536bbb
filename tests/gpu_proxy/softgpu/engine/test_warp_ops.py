# SPDX-License-Identifier: Apache-2.0

"""Barriers and warp operations in the shapes that compilers rarely emit, and misuse of them."""

from __future__ import annotations

import numpy as np
import pytest
from softgpu_harness import Gpu, KernelFault, kernel

START = """ld.param.u64 %d1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %d2, %r1, 4; add.s64 %d1, %d1, %d2;
mov.u32 %r40, %laneid;
"""


def run(gpu: Gpu, body: str, threads: int, **options: str) -> list[int]:
    out = gpu.zeros(threads, np.uint32)
    gpu.compile(kernel("u64 out", START + body, **options)).run("k", 1, threads, out)
    return [int(v) for v in out.get()]


def test_producer_and_consumer_warps(gpu: Gpu) -> None:
    """bar.arrive by one warp, bar.sync by the other, with explicit counts."""
    body = """
    setp.lt.u32 %p1, %r1, 32; shl.b32 %r2, %r40, 2; mov.u32 %r3, cells; add.u32 %r3, %r3, %r2;
    @!%p1 bra CONSUME;
    mul.lo.u32 %r4, %r1, 3; st.shared.u32 [%r3], %r4; bar.arrive 1, 64; bra.uni DONE;
    CONSUME: bar.sync 1, 64; ld.shared.u32 %r5, [%r3]; st.global.u32 [%d1], %r5;
    DONE:
    """
    got = run(gpu, body, 64, before=".shared .align 4 .b8 cells[128];")
    assert got[32:] == [3 * lane for lane in range(32)]


def test_a_partial_warp_counts_in_full(gpu: Gpu) -> None:
    assert run(gpu, "bar.sync 3, 64; st.global.u32 [%d1], 1;", 40) == [1] * 40


def test_shuffle_among_some_lanes(gpu: Gpu) -> None:
    body = """
    setp.lt.u32 %p1, %r1, 8; @%p1 bra LOW;
    shfl.sync.idx.b32 %r2|%p2, %r1, 9, 31, 0xFFFFFF00; bra.uni STORE;
    LOW: shfl.sync.bfly.b32 %r2|%p2, %r1, 1, 31, 0xFF;
    STORE: selp.u32 %r3, 100, 0, %p2; add.u32 %r2, %r2, %r3; st.global.u32 [%d1], %r2;
    """
    assert run(gpu, body, 32) == [100 + (lane ^ 1) for lane in range(8)] + [109] * 24


def test_forms_without_a_mask(gpu: Gpu) -> None:
    """Old code: the lanes that come by the same place together."""
    body = """
    setp.lt.u32 %p1, %r1, 5; vote.ballot.b32 %r2, %p1; shfl.down.b32 %r3, %r1, 1, 31; vote.any.pred %p2, %p1;
    and.b32 %r4, %r1, 1; setp.eq.u32 %p3, %r4, 1; @%p3 bra ODD;
    vote.ballot.b32 %r5, 1; bra.uni STORE;
    ODD: vote.ballot.b32 %r5, 1;
    STORE: xor.b32 %r2, %r2, %r5; add.u32 %r2, %r2, %r3; st.global.u32 [%d1], %r2;
    """
    wanted = [
        ((0x1F ^ (0xAAAAAAAA if i & 1 else 0x55555555)) + min(i + 1, 31)) & 0xFFFFFFFF
        for i in range(32)
    ]
    assert run(gpu, body, 32, target=60) == wanted


def test_lane_masks_and_ids(gpu: Gpu) -> None:
    body = """
    mov.u32 %r2, %lanemask_lt; mov.u32 %r3, %lanemask_ge; mov.u32 %r4, %lanemask_eq; mov.u32 %r5, %warpid; mov.u32 %r6, %nwarpid;
    xor.b32 %r2, %r2, %r3; popc.b32 %r2, %r2; popc.b32 %r4, %r4; add.u32 %r2, %r2, %r4; mad.lo.u32 %r2, %r5, 1000, %r2;
    mad.lo.u32 %r2, %r6, 10000, %r2; st.global.u32 [%d1], %r2;
    """
    assert run(gpu, body, 70) == [33 + 1000 * (i // 32) + 30000 for i in range(70)]


def test_reductions(gpu: Gpu) -> None:
    body = "sub.u32 %r2, %r1, 5; redux.sync.min.s32 %r3, %r2, -1; redux.sync.xor.b32 %r4, %r1, -1; redux.sync.max.u32 %r5, %r2, -1;"
    body += "sub.u32 %r3, 0, %r3; mad.lo.u32 %r3, %r4, 10, %r3; shr.u32 %r5, %r5, 31; mad.lo.u32 %r3, %r5, 1000, %r3; st.global.u32 [%d1], %r3;"
    assert run(gpu, body, 32) == [1005] * 32


def test_barrier_inside_a_function(gpu: Gpu) -> None:
    before = (
        ".shared .align 4 .b8 cells[512]; .func meet () .noreturn { bar.sync 0; ret; }".replace(
            " .noreturn", ""
        )
    )
    body = """
    shl.b32 %r2, %r1, 2; mov.u32 %r3, cells; add.u32 %r4, %r3, %r2; st.shared.u32 [%r4], %r1; call meet;
    sub.u32 %r5, 508, %r2; add.u32 %r5, %r3, %r5; ld.shared.u32 %r6, [%r5]; st.global.u32 [%d1], %r6;
    """
    assert run(gpu, body, 128, before=before) == list(range(128))[::-1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("setp.eq.u32 %p1, %r1, 0; @%p1 bar.sync 1, 64;", "deadlock"),
        ("bar.sync 16;", "barrier number"),
        (
            "setp.eq.u32 %p1, %r1, 0; @%p1 shfl.sync.idx.b32 %r2, %r1, 0, 31, -1; @!%p1 vote.sync.ballot.b32 %r2, 1, -1;",
            "different operations",
        ),
        ("shfl.sync.idx.b32 %r2, %r1, 0, 31, 1;", "outside its member mask"),
    ],
)
def test_misuse_is_a_fault(gpu: Gpu, body: str, message: str) -> None:
    with pytest.raises(KernelFault) as failed:
        run(gpu, body, 32)
    assert failed.value.kind == "ILLEGAL_INSTRUCTION"
    assert message in failed.value.text


def test_lanes_that_have_left_are_not_waited_for(gpu: Gpu) -> None:
    body = "setp.gt.u32 %p1, %r1, 9; @%p1 exit; vote.sync.ballot.b32 %r2, 1, -1; bar.warp.sync -1; st.global.u32 [%d1], %r2;"
    assert run(gpu, body, 32) == [0x3FF] * 10 + [0] * 22


def test_a_fault_names_the_thread(gpu: Gpu) -> None:
    with pytest.raises(
        KernelFault, match=r"kernel 'k': trap instruction \(thread 7,0,0 of block 0,0,0\)"
    ):
        run(gpu, "setp.eq.u32 %p1, %r1, 7; @%p1 trap;", 32)
