# SPDX-License-Identifier: Apache-2.0

"""The shortest way through everything: vector addition."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from softgpu_harness import CSRC, Gpu, kernel

VADD = kernel(
    "u64 a, u64 b, u64 c, u32 n",
    """
    ld.param.u64 %d1, [a]; ld.param.u64 %d2, [b]; ld.param.u64 %d3, [c]; ld.param.u32 %r1, [n];
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra DONE;
    cvta.to.global.u64 %d1, %d1; cvta.to.global.u64 %d2, %d2; cvta.to.global.u64 %d3, %d3;
    mul.wide.u32 %d4, %r5, 4;
    add.s64 %d1, %d1, %d4; add.s64 %d2, %d2, %d4; add.s64 %d3, %d3, %d4;
    ld.global.f32 %f1, [%d1]; ld.global.f32 %f2, [%d2];
    add.f32 %f3, %f1, %f2;
    st.global.f32 [%d3], %f3;
DONE:
    """,
)


def test_vadd(gpu: Gpu) -> None:
    """One million elements, with a partial last block."""
    n = 1_000_003
    rng = np.random.default_rng(1)
    a, b = rng.random(n, np.float32), rng.random(n, np.float32)
    out = gpu.zeros(n, np.float32)
    image = gpu.compile(VADD)
    image.run("k", (n + 255) // 256, 256, gpu.put(a), gpu.put(b), out, n)
    assert np.array_equal(out.get(), a + b)
    image.unload()


def test_python_and_c_agree_on_the_thread(tmp_path: Path) -> None:
    """codegen/layout.py repeats what thread.h says: the compiler's offsets must be the same."""
    from gpu_proxy.softgpu.codegen import layout

    lines = [
        f'printf("{name} %zu\\n", offsetof(struct sg_thread, {name}));' for name in layout.THREAD
    ]
    source = tmp_path / "offsets.c"
    source.write_text(
        '#include <stdio.h>\n#include "thread.h"\nint main(void) {'
        + "".join(lines)
        + 'printf("size %zu\\n", sizeof(struct sg_thread)); }'
    )
    program = tmp_path / "offsets"
    subprocess.run(["gcc", "-std=gnu11", f"-I{CSRC}", str(source), "-o", str(program)], check=True)
    output = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    found = dict(line.split() for line in output.splitlines())
    wanted = {**layout.THREAD, "size": layout.THREAD_BYTES}
    assert found == {name: str(value) for name, value in wanted.items()}
