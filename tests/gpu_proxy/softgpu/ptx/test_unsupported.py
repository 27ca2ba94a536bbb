# SPDX-License-Identifier: Apache-2.0

"""What the software GPU cannot do is refused by name, never done wrongly."""

from __future__ import annotations

import pytest
from softgpu_harness import kernel

from gpu_proxy.softgpu import compiler, jobs


def compile_whole(image: bytes) -> tuple[int, bytes]:
    return compiler.answer(lambda: jobs.compile_whole(image))


@pytest.mark.parametrize(
    "instruction",
    [
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1}, %d1, %d2, 1, 1, 1, 0, 0",
        "tex.1d.v4.f32.s32 {%f1,%f2,%f3,%f4}, [t, {%r1}]",
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%d1], %r2, [%r3]",
        "mapa.u64 %d1, %d2, %r1",
        "add.frobnicate.u32 %r1, %r2, %r3",
        "barrier.cluster.arrive",
        "vadd.s32.s32.s32 %r1, %r2, %r3",
        "sin.f64 %e1, %e2",
        "mbarrier.init.shared.b64 [%r1], 1",
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r1], %r2, [%r3]",
        "cvt.rn.satfinite.e4m3x2.f32 %h1, %f1, %f2",
        "lop3.b32 %r1, %r2, %r3, %r4, %r5",
    ],
)
def test_unsupported_instructions(instruction: str) -> None:
    status, text = compile_whole(
        kernel("u64 a", "mov.u32 %r1, 0;\n" + instruction + ";", name="foo").encode()
    )
    name = instruction.split(" ", 1)[0]
    assert status == 218
    assert (
        f"instruction '{name}' in kernel 'foo' line 14 is not supported by the software GPU"
        in text.decode()
    )


def test_modifiers_are_never_ignored() -> None:
    status, text = compile_whole(kernel("u64 a", "ld.global.v3.u32 {%r1,%r2,%r3}, [%d1];").encode())
    assert status == 218
    assert b"ld.global.v3.u32" in text


def test_external_functions() -> None:
    before = ".extern .func (.param .b64 r) cudaGetParameterBuffer (.param .b64 a);"
    code = "{ .param .b64 p; .param .b64 q; st.param.b64 [p], 1; call (q), cudaGetParameterBuffer, (p); }"
    status, text = compile_whole(kernel("u64 a", code, before=before).encode())
    assert status == 218
    assert b"external device function 'cudaGetParameterBuffer'" in text


def test_garbage_inside_instructions_is_an_error_not_a_crash() -> None:
    for code in (
        "ld.u32 %r1;",
        "st.global.u32 %r1, %r2;",
        "bra %r1;",
        "call 5;",
        "mov.u32;",
        "shfl.sync.up.b32 %r1;",
        "setp.lt.s32 %p1, %d1;",
        "atom.add.u32 %r1;",
        "mad.lo.u64 %d1, %r1, %d2, %d3;",
        "bra nowhere;",
        "ld.param.u32 %r1, [a+100];",
        "ld.param.u32 %r1, [b];",
        "cvt.u32 %r1, %r2;",
        "brx.idx %r1, t;",
        "mov.u32 {%r1}, {%r2};",
        "vote.sync.ballot.b32 %r1, %r2, 1;",
    ):
        status, text = compile_whole(kernel("u64 a", code).encode())
        assert status == 218, code
        assert b"internal" not in text, (code, text)
