# SPDX-License-Identifier: Apache-2.0

"""Loads, stores, atomics and address spaces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from softgpu_harness import Gpu, KernelFault, kernel

START = "ld.param.u64 %d1, [in]; ld.param.u64 %d2, [out];\n"


def run(
    gpu: Gpu, body: str, data: np.ndarray, count: int, result: type = np.uint32, **options: str
) -> np.ndarray:
    out = gpu.zeros(count, result)
    gpu.compile(kernel("u64 in, u64 out", START + body, **options)).run(
        "k", 1, 1, gpu.put(data), out
    )
    return np.asarray(out.get())


@pytest.mark.parametrize(
    "space",
    [
        "",
        ".global",
        ".volatile",
        ".volatile.global",
        ".relaxed.gpu.global",
        ".acquire.sys",
        ".global.nc",
        ".global.ca",
        ".global.L1::no_allocate.L2::128B",
        ".weak.global",
    ],
)
def test_loads_of_every_width(gpu: Gpu, space: str) -> None:
    data = np.array([0x80, 0xFF, 1, 2, 3, 4, 5, 0xFE], np.uint8)
    body = f"""
    ld{space}.u8 %r1, [%d1+1]; ld{space}.s8 %r2, [%d1+1]; ld{space}.u16 %r3, [%d1]; ld{space}.s16 %r4, [%d1+6];
    ld{space}.b32 %r5, [%d1+4]; ld{space}.u64 %d5, [%d1]; ld{space}.s8 %d6, [%d1];
    st.global.u32 [%d2], %r1; st.global.u32 [%d2+4], %r2; st.global.u32 [%d2+8], %r3; st.global.u32 [%d2+12], %r4;
    st.global.u32 [%d2+16], %r5; st.global.u64 [%d2+24], %d5; st.global.u64 [%d2+32], %d6;
    """
    got = run(gpu, body, data, 10)
    assert got[:5].tolist() == [0xFF, 0xFFFFFFFF, 0xFF80, 0xFFFFFE05, 0xFE050403]
    assert got[6:].view(np.uint64).tolist() == [0xFE05040302_01FF80, 2**64 - 128]


@pytest.mark.parametrize(
    "space", [".global", ".volatile.global", "", ".release.gpu.global", ".global.wt"]
)
def test_vectors_and_narrow_stores(gpu: Gpu, space: str) -> None:
    data = np.arange(16, dtype=np.uint32)
    vector = space if "release" not in space else ".global"
    body = f"""
    ld{vector.replace(".wt", "")}.v4.u32 {{%r1,%r2,%r3,%r4}}, [%d1+16]; st{vector}.v2.u32 [%d2], {{%r4, %r3}};
    ld.global.v2.u64 {{%d5,%d6}}, [%d1]; st{vector}.v2.u64 [%d2+16], {{%d6, %d5}};
    st{space}.u8 [%d2+9], %r4; st{space}.u16 [%d2+12], %r1; ld.global.v2.u8 {{%r5,%r6}}, [%d1+4]; st.global.u32 [%d2+32], %r5;
    """
    assert run(gpu, body, data, 9).tolist() == [7, 6, 7 << 8, 4, 2, 3, 0, 1, 1]


ATOMICS: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "add.u32": ("b32", lambda a, b: a + b),
    "add.s32": ("b32", lambda a, b: a + b),
    "add.u64": ("b64", lambda a, b: a + b),
    "min.u32": ("b32", min),
    "max.u32": ("b32", max),
    "min.s64": ("b64", min),
    "max.u64": ("b64", max),
    "and.b32": ("b32", lambda a, b: a & b),
    "or.b64": ("b64", lambda a, b: a | b),
    "xor.b32": ("b32", lambda a, b: a ^ b),
    "exch.b32": ("b32", lambda a, b: b),
    "exch.b64": ("b64", lambda a, b: b),
    "inc.u32": ("b32", lambda a, b: 0 if a >= b else a + 1),
    "dec.u32": ("b32", lambda a, b: b if a == 0 or a > b else a - 1),
}


@pytest.mark.parametrize("space", ["global", "shared", "generic", "generic shared"])
@pytest.mark.parametrize("op", sorted(ATOMICS))
@pytest.mark.parametrize(("start", "operand"), [(5, 3), (3, 5), (0, 7), (7, 7)])
def test_atomics(gpu: Gpu, space: str, op: str, start: int, operand: int) -> None:
    kind, meaning = ATOMICS[op]
    letter, size = ("%r", 4) if kind == "b32" else ("%d", 8)
    where, modifier = {
        "global": ("%d1", ".global"),
        "shared": ("%d30", ".shared"),
        "generic": ("%d1", ""),
        "generic shared": ("%d31", ""),
    }[space]
    body = f"""
    mov.u64 %d30, cell; cvta.shared.u64 %d31, %d30;
    ld.global.{kind} {letter}20, [%d1]; ld.global.{kind} {letter}21, [%d1+8]; st.shared.{kind} [%d30], {letter}20;
    atom{modifier}.{op} {letter}22, [{where}], {letter}21; red{modifier}.{op.replace("exch", "or")} [{where}], {letter}21;
    ld{modifier}.{kind} {letter}23, [{where}];
    st.global.{kind} [%d2], {letter}22; st.global.{kind} [%d2+8], {letter}23;
    """
    got = run(
        gpu,
        body,
        np.array([start, operand], np.uint64),
        2,
        np.uint64,
        before=".shared .align 8 .b64 cell;",
    )
    once = meaning(start, operand)
    twice = once | operand if "exch" in op else meaning(once, operand)
    assert got.tolist() == [start, twice & (2 ** (8 * size) - 1)]


@pytest.mark.parametrize("space", ["global", "shared"])
def test_compare_and_swap(gpu: Gpu, space: str) -> None:
    where = "%d1" if space == "global" else "%d30"
    body = f"""
    mov.u64 %d30, cell; mov.b32 %r9, 5; st.global.u32 [%d1], %r9; st.shared.u32 [%d30], %r9;
    atom.{space}.cas.b32 %r1, [{where}], 5, 9; atom.{space}.cas.b32 %r2, [{where}], 5, 11; ld.{space}.u32 %r3, [{where}];
    mov.u16 %h1, 9; mov.u16 %h2, 77; atom.{space}.cas.b16 %h3, [{where}], %h1, %h2; ld.{space}.u32 %r4, [{where}];
    st.global.v4.u32 [%d2], {{%r1, %r2, %r3, %r4}};
    """
    assert run(
        gpu, body, np.zeros(2, np.uint64), 4, before=".shared .align 8 .b64 cell;"
    ).tolist() == [5, 9, 9, 77]


@pytest.mark.parametrize("space", ["global", "shared"])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("f32", np.float32),
        ("f64", np.float64),
        ("noftz.f16", np.float16),
        ("noftz.f16x2", np.float16),
    ],
)
def test_float_atomics(gpu: Gpu, space: str, kind: str, dtype: type) -> None:
    plain = {"noftz.f16": "b16", "noftz.f16x2": "b32"}.get(kind, kind)
    letter = {"f32": "%f", "f64": "%e", "b16": "%h", "b32": "%r"}[plain]
    where = "%d1" if space == "global" else "%d30"
    body = f"""
    mov.u64 %d30, cell; ld.global.{plain} {letter}1, [%d1]; ld.global.{plain} {letter}2, [%d1+8]; st.shared.{plain} [%d30], {letter}1;
    atom.{space}.add.{kind} {letter}3, [{where}], {letter}2; red.{space}.add.{kind} [{where}], {letter}2;
    ld.{space}.{plain} {letter}4, [{where}]; st.global.{plain} [%d2], {letter}4;
    """
    data = np.zeros(16 // np.dtype(dtype).itemsize, dtype)
    data[:2], data[8 // data.itemsize :][: min(2, data.size // 2)] = [1.5, 4.0], 0.25
    got = run(gpu, body, data, 2, dtype, before=".shared .align 8 .b64 cell;")
    assert got[0] == 2.0
    assert got[1] == (4.5 if "x2" in kind else 0)


def test_a_thousand_threads_add_to_one_cell(gpu: Gpu) -> None:
    body = (
        START
        + "atom.global.add.u32 %r1, [%d1], 1; red.global.add.f32 [%d2], 0f3F800000; atom.global.max.u32 %r2, [%d1+4], %r1;"
    )
    counter, total = gpu.zeros(2, np.uint32), gpu.zeros(1, np.float32)
    gpu.compile(kernel("u64 in, u64 out", body)).run("k", 64, 256, counter, total)
    assert counter.get().tolist() == [64 * 256, 64 * 256 - 1]
    assert total.get()[0] == 64 * 256


def test_address_spaces(gpu: Gpu) -> None:
    before = ".shared .align 4 .u32 s; .const .align 4 .u32 c[2] = {11, 12}; .global .align 4 .u32 g = 13; .extern .shared .align 16 .b8 dyn[];"
    body = (
        START
        + """
    .local .align 8 .b32 l[4];
    mov.u64 %d5, s; cvta.shared.u64 %d5, %d5; mov.u64 %d6, l; cvta.local.u64 %d6, %d6; mov.u64 %d7, g; cvta.global.u64 %d7, %d7;
    mov.u64 %d8, c; cvta.const.u64 %d8, %d8; mov.b64 %d9, in; cvta.param.u64 %d9, %d9;
    isspacep.shared %p1, %d5; isspacep.local %p2, %d6; isspacep.global %p3, %d7; isspacep.shared %p4, %d6; isspacep.global %p5, %d5;
    selp.u32 %r1, 1, 0, %p1; selp.u32 %r2, 2, 0, %p2; selp.u32 %r3, 4, 0, %p3; selp.u32 %r4, 8, 0, %p4; selp.u32 %r5, 16, 0, %p5;
    add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3; add.u32 %r1, %r1, %r4; add.u32 %r1, %r1, %r5; st.global.u32 [%d2], %r1;
    st.u32 [%d5], 21; ld.shared.u32 %r6, [s]; st.global.u32 [%d2+4], %r6;
    st.u32 [%d6+12], 22; ld.local.u32 %r7, [l+12]; st.global.u32 [%d2+8], %r7;
    ld.u32 %r8, [%d7]; ld.u32 %r9, [%d8+4]; add.u32 %r8, %r8, %r9; ld.const.u32 %r9, [c]; add.u32 %r8, %r8, %r9; st.global.u32 [%d2+12], %r8;
    ld.u64 %d10, [%d9]; setp.eq.u64 %p6, %d10, %d1; selp.u32 %r10, 1, 0, %p6; st.global.u32 [%d2+16], %r10;
    cvta.to.shared.u64 %d11, %d5; ld.shared.u32 %r11, [%d11]; st.global.u32 [%d2+20], %r11;
    mov.u32 %r12, dyn; st.shared.u32 [%r12+60], 23; ld.shared.u32 %r13, [dyn+60]; st.global.u32 [%d2+24], %r13;
    mov.u32 %r14, %dynamic_smem_size; mov.u32 %r15, %total_smem_size; st.global.v2.u32 [%d2+32], {%r14, %r15};
    """
    )
    out = gpu.zeros(10, np.uint32)
    image = gpu.compile(kernel("u64 in, u64 out", body, before=before))
    image.run("k", 1, 1, gpu.zeros(1, np.uint64), out, shared=64)
    assert out.get().tolist() == [7, 21, 22, 36, 1, 21, 23, 0, 64, 80]
    with pytest.raises(KernelFault):
        image.run("k", 1, 1, gpu.zeros(1, np.uint64), out, shared=48)


def test_parameters_at_computed_addresses(gpu: Gpu) -> None:
    ptx = """.version 8.5\n.target sm_80\n.address_size 64
    .entry k(.param .u64 out, .param .align 4 .b8 table[32], .param .u32 index) {
        .reg .b64 %d<9>; .reg .b32 %r<9>;
        ld.param.u64 %d1, [out]; ld.param.u32 %r1, [index]; mov.b64 %d2, table; mul.wide.s32 %d3, %r1, 4; add.s64 %d2, %d2, %d3;
        ld.param.u32 %r2, [%d2]; st.global.u32 [%d1], %r2; ret;
    }"""
    image, out = gpu.compile(ptx), gpu.zeros(1, np.uint32)
    image.run("k", 1, 1, out, np.arange(100, 108, dtype=np.uint32).tobytes(), 5)
    assert out.get()[0] == 105
    for index in (100, -50):
        with pytest.raises(KernelFault):
            image.run("k", 1, 1, out, bytes(32), index)


def test_initialisers_with_addresses(gpu: Gpu) -> None:
    before = """.global .align 4 .u32 a[4] = {1, 2, 3, 4}; .global .align 8 .u64 p[2] = {generic(a), a+8}; .global .align 8 .b8 q[9] =
    {0xFF(a), 0xFF00(a), 0xFF0000(a), 0xFF000000(a), 0xFF00000000(a), 0xFF0000000000(a), 0xFF000000000000(a), 0xFF00000000000000(a), 9};"""
    body = "mov.u64 %d3, p; ld.global.u64 %d4, [%d3+8]; ld.global.u32 %r1, [%d4]; mov.u64 %d3, q; ld.global.u64 %d4, [%d3]; ld.global.u32 %r2, [%d4+4];"
    body += "ld.global.u8 %r3, [%d3+8]; st.global.u32 [%d2], %r1; st.global.u32 [%d2+4], %r2; st.global.u32 [%d2+8], %r3;"
    assert run(gpu, body, np.zeros(1), 3, before=before).tolist() == [3, 2, 9]


@pytest.mark.parametrize(("index", "result"), [(0, 10), (1, 20), (2, 30)])
def test_branch_tables(gpu: Gpu, index: int, result: int) -> None:
    body = """
    ld.global.u32 %r1, [%d1];
    targets: .branchtargets A, B, C;
    brx.idx %r1, targets;
    A: mov.u32 %r2, 10; bra.uni E;
    B: mov.u32 %r2, 20; bra.uni E;
    C: mov.u32 %r2, 30;
    E: st.global.u32 [%d2], %r2;
    """
    assert run(gpu, body, np.array([index], np.uint32), 1)[0] == result


def test_a_branch_beyond_its_table_faults(gpu: Gpu) -> None:
    with pytest.raises(KernelFault) as failed:
        run(gpu, "mov.u32 %r1, 7; t: .branchtargets A; brx.idx %r1, t; A: ret;", np.zeros(1), 1)
    assert failed.value.kind == "ILLEGAL_INSTRUCTION"


def test_packing_and_predicated_execution(gpu: Gpu) -> None:
    body = """
    mov.b64 %d5, {%r1, %r2}; mov.u32 %r1, 0x11112222; mov.u32 %r2, 7; mov.b64 %d5, {%r1, %r2}; mov.b64 {%r3, %r4}, %d5;
    mov.b32 {%h1, %h2}, %r1; mov.b32 %r5, {%h2, %h1}; mov.b64 {_, %r6}, %d5; setp.eq.u32 %p1, %r3, %r1;
    @%p1 add.u32 %r4, %r4, 1; @!%p1 add.u32 %r4, %r4, 100; st.global.v2.u32 [%d2], {%r4, %r5}; @!%p1 st.global.u32 [%d2+8], 1; st.global.u32 [%d2+12], %r6;
    """
    assert run(gpu, body, np.zeros(1), 4).tolist() == [8, 0x22221111, 0, 7]


def test_old_style_functions_with_register_parameters(gpu: Gpu) -> None:
    before = ".func (.reg .u32 r) twice (.reg .u32 x, .reg .u64 unused) { add.u32 r, x, x; ret; }"
    body = (
        "mov.u32 %r1, 21; mov.u64 %d5, 0; call (%r2), twice, (%r1, %d5); st.global.u32 [%d2], %r2;"
    )
    assert run(gpu, body, np.zeros(1), 1, before=before)[0] == 42


def test_asynchronous_copies(gpu: Gpu) -> None:
    body = """
    mov.u32 %r1, tile; cp.async.ca.shared.global [%r1], [%d1], 16; cp.async.cg.shared.global [%r1+16], [%d1+16], 16, 4;
    cp.async.ca.shared.global [%r1+32], [%d1], 8, 0; cp.async.commit_group; cp.async.wait_group 0; cp.async.wait_all; bar.sync 0;
    ld.shared.v4.u32 {%r2,%r3,%r4,%r5}, [%r1]; ld.shared.v4.u32 {%r6,%r7,%r8,%r9}, [%r1+16]; ld.shared.u32 %r10, [%r1+32];
    st.global.v4.u32 [%d2], {%r2,%r3,%r4,%r5}; st.global.v4.u32 [%d2+16], {%r6,%r7,%r8,%r9}; st.global.u32 [%d2+32], %r10;
    """
    got = run(
        gpu, body, np.arange(1, 9, dtype=np.uint32), 9, before=".shared .align 16 .b8 tile[64];"
    )
    assert got.tolist() == [1, 2, 3, 4, 5, 0, 0, 0, 0]


def test_exit_inside_a_function(gpu: Gpu) -> None:
    before = ".func leave () { exit; }"
    body = (
        START
        + "mov.u32 %r1, %tid.x; mul.wide.u32 %d3, %r1, 4; add.s64 %d2, %d2, %d3; setp.gt.u32 %p1, %r1, 3; @%p1 call leave; st.global.u32 [%d2], 1;"
    )
    out = gpu.zeros(8, np.uint32)
    gpu.compile(kernel("u64 in, u64 out", body, before=before)).run(
        "k", 1, 8, gpu.zeros(1, np.uint32), out
    )
    assert out.get().tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_accesses_that_share_a_check_fault_each(gpu: Gpu) -> None:
    """The second of two loads through one register is outside."""
    end = gpu.arena + 1024 * 1024 * 1024
    for base, fine in ((gpu.arena + 64, True), (end - 4, False), (gpu.arena - 8, False)):
        code = kernel(
            "u64 p",
            "ld.param.u64 %d1, [p]; ld.global.u32 %r1, [%d1]; ld.global.u32 %r2, [%d1+8]; st.global.u32 [%d1+4], %r2;",
        )
        if fine:
            gpu.compile(code).run("k", 1, 1, base)
        else:
            with pytest.raises(KernelFault) as failed:
                gpu.compile(code).run("k", 1, 1, base)
            assert failed.value.kind == "ILLEGAL_ADDRESS"
