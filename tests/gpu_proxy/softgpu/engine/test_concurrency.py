# SPDX-License-Identifier: Apache-2.0
"""Several launches at once, some of which fail."""

from __future__ import annotations

import ctypes
import threading
import time

import numpy as np
import pytest
from softgpu_harness import Gpu, KernelFault, kernel

SUM = kernel(
    "u64 out",
    """
    ld.param.u64 %d1, [out]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; shl.b32 %r4, %r1, 2;
    mov.u32 %r5, cells; add.u32 %r6, %r5, %r4; st.shared.u32 [%r6], %r1; bar.sync 0;
    mov.u32 %r7, 64;
    AGAIN: setp.ge.u32 %p1, %r1, %r7; @%p1 bra SKIP;
    shl.b32 %r8, %r7, 2; add.u32 %r9, %r6, %r8; ld.shared.u32 %r10, [%r6];
    ld.shared.u32 %r11, [%r9];
    add.u32 %r10, %r10, %r11; st.shared.u32 [%r6], %r10;
    SKIP: bar.sync 0; shr.u32 %r7, %r7, 1; setp.ne.u32 %p2, %r7, 0; @%p2 bra AGAIN;
    setp.eq.u32 %p3, %r1, 0; ld.shared.u32 %r12, [cells]; @%p3 red.global.add.u32 [%d1], %r12;
    """,
    before=".shared .align 4 .b8 cells[512];",
)
WILD = kernel("u64 a", "ld.param.u64 %d1, [a]; mov.u32 %r1, %ctaid.x; st.global.u32 [%d1], %r1;")
FOREVER = kernel("u64 a", "L: bra L;")


def test_launches_from_many_threads(gpu: Gpu) -> None:
    good, wild = gpu.compile(SUM), gpu.compile(WILD)
    outs = [gpu.zeros(1, np.uint32) for _ in range(8)]
    faults: list[str] = []

    def work(n: int) -> None:
        for _ in range(10):
            good.run("k", 20, 128, outs[n])
            try:
                wild.run("k", 50, 32, 0x1000 + 16 * n)
            except KernelFault as fault:
                faults.append(fault.kind)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [int(out.get()[0]) for out in outs] == [10 * 20 * 128 * 127 // 2] * 8
    assert faults == ["ILLEGAL_ADDRESS"] * 80


def test_an_endless_kernel_does_not_stop_the_others(gpu: Gpu) -> None:
    forever, good = gpu.compile(FOREVER), gpu.compile(SUM)
    cancel = ctypes.c_int(0)
    kinds: list[str] = []

    def endless() -> None:
        try:
            forever.run("k", 1, 1, 0, cancel=ctypes.addressof(cancel))
        except KernelFault as fault:
            kinds.append(fault.kind)

    thread = threading.Thread(target=endless)
    thread.start()
    out = gpu.zeros(1, np.uint32)
    for _ in range(5):
        good.run("k", 40, 128, out)
    assert out.get()[0] == 5 * 40 * 128 * 127 // 2
    cancel.value = 1
    thread.join(5)
    assert kinds == ["CANCELLED"]


@pytest.mark.parametrize("size", [1, 100])
def test_a_launch_is_quick(gpu: Gpu, size: int) -> None:
    """Far above what is measured, to notice only a change of kind."""
    image = gpu.compile(kernel("u64 a", ""))
    start = time.perf_counter()
    for _ in range(200):
        image.run("k", size, 32, 0)
    assert (time.perf_counter() - start) / 200 < 0.002
