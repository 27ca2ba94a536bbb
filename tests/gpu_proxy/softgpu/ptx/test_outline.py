# SPDX-License-Identifier: Apache-2.0

"""Reading a module without its bodies: what is found out about them, and which errors show."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from softgpu_harness import cuda_to_ptx, kernel

from gpu_proxy.softgpu import compiler, jobs
from gpu_proxy.softgpu.codegen.registry import HANDLERS
from gpu_proxy.softgpu.errors import PtxError, SoftGpuError
from gpu_proxy.softgpu.ptx import parse
from gpu_proxy.softgpu.ptx.ast import Facts, Module
from gpu_proxy.softgpu.ptx.facts import facts_of
from gpu_proxy.softgpu.ptx.isa import OPCODES
from gpu_proxy.softgpu.ptx.outline import make_outline
from gpu_proxy.softgpu.ptx.parser import parse_body, parse_outside
from gpu_proxy.softgpu.ptx.quick import Examiner

HEAD = ".version 8.5\n.target sm_80\n.address_size 64\n"

PLAIN = (
    HEAD
    + """
.extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);
.func (.param .b32 r) twice (.param .b32 a);
.global .u64 table[2] = {twice, 0};
.const .align 4 .b8 words[16];
.shared .align 4 .b8 cells[512];
.extern .shared .align 16 .b8 more[];
.func (.param .b32 r) twice (.param .b32 a)
{
  .reg .b32 %r<3>;
  ld.param.u32 %r1, [a]; add.u32 %r2, %r1, %r1; st.param.b32 [r], %r2; ret;
}
/* { not a block } */
.visible .entry k(.param .u64 .ptr .align 1 out, .param .u32 n)
.maxntid 128, 1, 1 // {
{
  .local .align 8 .b8 __local_depot1[24];
  .reg .b64 %SP; .reg .b64 %SPL;
  .reg .pred %p<5>;
  .reg .b32 %r<20>, %x;
  .reg .f32 %f<4>;
  .reg .b64 %rd<9>;
  .shared .align 8 .b8 own[64];
  .loc 1 12 3
  mov.u64 %SPL, __local_depot1;
  ld.param.u32 %r1, [n]; // a comment; with a semicolon
  setp.ge.and.s32 %p1|%p2, %r1, 0x10, !%p3;
  @!%p1 bra $L_1;
  mov.u32 %r2, %tid.x; mov.b64 %rd1, {%r1, %r2}; mov.f32 %f1, 0f3F800000;
  ld.global.v2.u32 {%r3, _}, [%rd1+-8]; st.shared.u32 [cells+4], %r3;
$L_1:
  .pragma "nounroll; {";
  { // callseq 1
    .reg .b32 temp; .reg .pred p;
    .param .b32 param0; .param .b32 retval0;
    st.param.b32 [param0], %r1;
    call.uni (retval0),
    twice,
    (
    param0
    );
    ld.param.b32 temp, [retval0];
    setp.eq.u32 p, temp, %r3; @p mov.u32 %r4, temp;
  }
  { .reg .pred p; setp.eq.u32 p, %r1, WARP_SZ; }
  mov.u64 %rd2, table; ld.const.u32 %r5, [words];
  bar.sync 0; ret;
}
"""
)


def read(text: str) -> tuple[Module, dict[str, Facts | None]]:
    """The outside of a module, and what the quick examination says of its bodies."""
    module = parse_outside(text)
    examiner = Examiner(module)
    bodies = {name: f.span for name, f in module.functions.items() if f.span}
    return module, {
        name: examiner.examine(module.functions[name], text[span.start : span.end])
        for name, span in bodies.items()
    }


def plain(facts: Facts) -> dict[str, object]:
    """Facts that can be compared: where a variable was declared says nothing."""
    variables = [(v.space, v.type, v.name, v.align, v.bytes) for v in facts.variables]
    return {
        "calls": facts.calls,
        "uses": facts.uses,
        "variables": variables,
        "calls_pointers": facts.calls_pointers,
        "reserved_shared": facts.reserved_shared,
    }


def check_facts(text: str) -> int:
    """Compare what both ways of reading say; the number of bodies that were accepted quickly."""
    module, quick = read(text)
    for name, facts in quick.items():
        function = module.functions[name]
        parse_body(text, function)
        if facts is not None:
            assert plain(facts) == plain(facts_of(module, function)), name
    return sum(facts is not None for facts in quick.values())


def test_facts() -> None:
    module, quick = read(PLAIN)
    assert check_facts(PLAIN) == 2
    facts = quick["k"]
    assert facts is not None
    assert facts.calls == ["twice"]
    assert facts.uses == ["cells", "table", "words"]
    assert [v.name for v in facts.variables] == ["__local_depot1", "own"]
    assert module.functions["k"].max_threads == 128
    assert make_outline(PLAIN).address_taken == ["twice"]


@pytest.mark.parametrize(
    "code",
    [
        "call (r0), %rd1, (r1), proto; proto: .callprototype (.param .b32 _) _ (.param .b32 _);",
        "t: .branchtargets A, B; brx.idx %r1, t; A: B:",
        "{ .shared .b32 inner; }",
        "{ .global .b32 inner; }",
        ".global .b32 inner;",
        "mov.u64 %rd1, table+8;",
        "{ .reg .b32 a; ret; .reg .b32 b; }",
        "add.u32 %r1, %r1, (1 << 3);",
    ],
)
def test_what_is_not_plain_is_read_by_the_parser(code: str) -> None:
    text = PLAIN.replace("bar.sync 0;", code)
    _, quick = read(text)
    assert quick["k"] is None
    assert check_facts(text) == 1


@pytest.mark.toolkit
@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("options", [(), ("-G",), ("-lineinfo",), ("-rdc=true",)])
def test_what_nvcc_writes(options: tuple[str, ...]) -> None:
    """Both ways of reading agree; and most of it is accepted quickly, or loading would be slow."""
    source = """
    #include <stdio.h>
    #include <cooperative_groups.h>
    __device__ int counter; __constant__ float factors[4];
    struct Shape { __device__ virtual float area() const = 0; };
    struct Square : Shape { float s; __device__ float area() const override { return s * s; } };
    __device__ __noinline__ float scale(float x) { return x * factors[1]; }
    __global__ void plain(float *p, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) p[i] = scale(sqrtf(p[i])) / 3.0f + sinf(p[i]);
    }
    __global__ void shared(float *p) {
        __shared__ float tile[64]; extern __shared__ float rest[];
        tile[threadIdx.x] = p[threadIdx.x]; __syncthreads();
        rest[threadIdx.x] = __shfl_xor_sync(~0u, tile[63 - threadIdx.x], 1);
        p[threadIdx.x] = rest[threadIdx.x];
    }
    __global__ void prints(int x) { printf("%d\\n", x); atomicAdd(&counter, x); }
    __global__ void virtuals(Shape **s, float *out) { out[threadIdx.x] = s[threadIdx.x]->area(); }
    __global__ void make(Square *s, float side) { new (s) Square(); s->s = side; }
    __global__ void grid(int *p) { cooperative_groups::this_grid().sync(); *p = 1; }
    """
    ptx = cuda_to_ptx("#include <new>\n" + source, *options).decode()
    accepted = check_facts(ptx)
    bodies = sum(f.span is not None for f in parse_outside(ptx).functions.values())
    assert accepted >= bodies // 2
    assert any("area" in name for name in make_outline(ptx).address_taken)


MALFORMED = [
    "nonsense.u32 %r1, %r2;",
    "add.u32 %r1 %r2, %r3;",
    "add.u32 %r1, %r2, %r99;",
    "add.u32 %r1, %r2, 0f3F8;",
    "add.u32 %r1, %r2, %r3",
    "bra NOWHERE;",
    "mov.u32 %r1, nothing;",
    "L: L: ret;",
    ".reg .b32 %r1;",
    ".reg .b32 %r<7>;",
    ".reg .nothing %q;",
    ".shared .b32 n;",
    "ld.global.u32 %r1, [%rd1;",
    "mov.b64 %rd1, {%r1, %r2;",
    "call nothing, (%r1);",
    "@%p9 ret;",
    "%tid.x;",
    "$;",
]


@pytest.mark.parametrize("code", MALFORMED)
@pytest.mark.parametrize("is_long", [False, True], ids=["short", "long"])
def test_malformed_ptx_fails_when_it_is_loaded(code: str, is_long: bool) -> None:
    """Also at the end of a text so long that it is not read in full."""
    text = PLAIN.replace("bar.sync 0;", code)
    if is_long:
        padding = "add.u32 %r1, %r1, 1;\n" * (jobs.CHECKED_BYTES // 20)
        text += kernel("u64 a", padding, name="long").partition("64\n")[2]
    status, _ = compiler.answer(lambda: jobs.load(text.encode()))
    assert status == 218, code


def test_errors_name_the_line_in_the_whole_text() -> None:
    text = PLAIN.replace("bar.sync 0;", "nonsense %r1;")
    line = 1 + text[: text.index("nonsense")].count("\n")
    with pytest.raises(PtxError, match=f"^line {line}: unknown instruction 'nonsense'"):
        make_outline(text)


def test_what_the_software_gpu_lacks_does_not_fail_the_load() -> None:
    for code in ("vadd.s32.s32.s32 %r1, %r2, %r3;", "mov.u32 %r1, %pm0;", "add.odd.u32 %r1, 1, 2;"):
        text = PLAIN.replace("bar.sync 0;", code)
        assert compiler.answer(lambda text=text: jobs.load(text.encode()))[0] == 0, code
    text = PLAIN.replace(".maxntid 128, 1, 1", ".reqnctapercluster 2")
    assert compiler.answer(lambda: jobs.load(text.encode()))[0] == 0
    with pytest.raises(SoftGpuError, match=r"clusters\) in kernel 'k'"):
        jobs.compile_whole(text.encode())


def test_every_instruction_that_is_lowered_is_known() -> None:
    assert HANDLERS.keys() <= OPCODES


PIECES = re.findall(r"[\w$%.]+|\s+|[^\w\s]", PLAIN)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(PIECES) - 1), st.sampled_from([*sorted(set(PIECES)), "", "%q", "}{"])
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_accepted_quickly_the_parser_accepts(changes: list[tuple[int, str]]) -> None:
    """But for names in the wrong scope, or in the wrong place."""
    pieces = list(PIECES)
    for at, piece in changes:
        pieces[at] = piece
    text = "".join(pieces)
    try:
        module, quick = read(text)
    except SoftGpuError:
        with pytest.raises(SoftGpuError):
            parse(text)
        return
    for name, facts in quick.items():
        if facts is None:
            continue
        function = module.functions[name]
        try:
            parse_body(text, function)
        except PtxError as error:
            if not re.search("is no register|is not declared|unknown instruction", str(error)):
                raise
            continue
        assert set(facts_of(module, function).uses) <= set(facts.uses)
