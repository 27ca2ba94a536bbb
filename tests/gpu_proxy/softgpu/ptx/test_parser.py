# SPDX-License-Identifier: Apache-2.0

"""Reading PTX text."""

from __future__ import annotations

import pytest

from gpu_proxy.softgpu.codegen import Program, Unit
from gpu_proxy.softgpu.errors import PtxError, SoftGpuError, UnsupportedError, VersionError
from gpu_proxy.softgpu.ptx import parse
from gpu_proxy.softgpu.ptx.ast import Addr, Imm, Instr, Label, Masked, Pair, Reg, Sym, Vec
from gpu_proxy.softgpu.ptx.outline import make_outline

HEAD = ".version 8.5\n.target sm_80, debug\n.address_size 64\n"


def body(text: str) -> list[Instr | Label]:
    module = parse(
        f"{HEAD}.entry k() {{ .reg .pred %p<3>; .reg .b32 %r<9>; .reg .b64 %d<9>;\n{text}\n}}"
    )
    return module.functions["k"].body or []


def only(text: str) -> Instr:
    item = body(text)[0]
    assert isinstance(item, Instr)
    return item


def test_versions() -> None:
    module = parse(HEAD)
    assert (module.version, module.target) == (85, 80)


@pytest.mark.parametrize(
    ("text", "arg"),
    [
        ("mov.u32 %r1, 0x1F;", Imm(31)),
        ("mov.u32 %r1, -7;", Imm(-7)),
        ("mov.u32 %r1, 017;", Imm(15)),
        ("mov.u32 %r1, 0b101U;", Imm(5)),
        ("mov.u32 %r1, 0f3F800000;", Imm(0x3F800000, "f32")),
        ("mov.u32 %r1, -0f3F800000;", Imm(0xBF800000, "f32")),
        ("mov.u32 %r1, (1<<4)|3;", Imm(19)),
        ("mov.u32 %r1, 1.5;", Imm(0x3FF8000000000000, "f64")),
        ("mov.u32 %r1, WARP_SZ;", Imm(32)),
        ("mov.u64 %d1, table+8;", Sym("table", 8)),
        ("mov.b64 %d1, {%r1, %r2};", Vec((Reg("%r1"), Reg("%r2")))),
        ("ld.u32 %r1, [%d1+-4];", Addr(Reg("%d1"), -4)),
        ("ld.u32 %r1, [var+12];", Addr(Sym("var"), 12)),
    ],
)
def test_operands(text: str, arg: object) -> None:
    assert only(text).args[1] == arg


def test_guards_modifiers_and_pairs() -> None:
    item = only("@!%p1 setp.lt.and.s32 %p1|%p2, %r1, %r2, !%p2;")
    assert item.guard is not None
    assert item.guard.negated
    assert item.name == "setp.lt.and.s32"
    assert item.args[0] == Pair(Reg("%p1"), Reg("%p2"))


def test_inner_scopes_have_names_of_their_own() -> None:
    first, second, third = body(
        "mov.u32 %r1, 1; { .reg .b32 %r1; mov.u32 %r1, 2; { .reg .b32 %r1; mov.u32 %r1, 3; } }"
    )
    assert isinstance(first, Instr)
    assert isinstance(second, Instr)
    assert isinstance(third, Instr)
    assert len({first.args[0], second.args[0], third.args[0]}) == 3


def test_labels_of_inner_scopes() -> None:
    items = body("bra L; { L: bra L; } L: ret;")
    labels = [item.name for item in items if isinstance(item, Label)]
    branches = [item.args[0] for item in items if isinstance(item, Instr) and item.op == "bra"]
    assert branches == [Sym(labels[1]), Sym(labels[0])]


def test_initialisers() -> None:
    module = parse(
        HEAD + ".global .align 4 .u32 a[2][2] = {{1, 2}, {3}}; .global .u64 p = generic(a)+4;"
        ".global .b8 q[3] = {0xFF(a), 0xFF00(a), 7}; .visible .const .f32 c = 0f40000000;"
    )
    assert module.variables["a"].bytes == 16
    assert module.variables["a"].init == [Imm(1), Imm(2), Imm(3)]
    assert module.variables["p"].init == [Sym("a", 4)]
    assert module.variables["q"].init == [Masked(0xFF, Sym("a")), Masked(0xFF00, Sym("a")), Imm(7)]


def test_debug_information_is_skipped() -> None:
    parse(
        HEAD
        + '.file 1 "a//b.cu"\n.entry k() {\n.loc 1 2 3, function_name $x, inlined_at 1 2 3\nret;\n}\n'
        ".section .debug_str { .b8 1, 2 }\n/* a comment\n of two lines */"
    )


def test_performance_directives() -> None:
    function = parse(HEAD + ".entry k()\n.maxntid 128, 2\n.minnctapersm 1\n{ ret; }").functions["k"]
    assert function.max_threads == 256
    assert parse(HEAD + ".entry k() .reqntid 8,4,2 { ret; }").functions["k"].required_block == (
        8,
        4,
        2,
    )


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("hello", PtxError, "line 1: unexpected 'hello'"),
        ("", PtxError, "no .version directive"),
        (".version 99.0", VersionError, "PTX version 99.0 is newer than"),
        (
            HEAD + ".entry k() {\n mov.u32 %r1, 2;\n}",
            PtxError,
            "line 5: %r1 is not declared",
        ),
        (HEAD + ".entry k() {\n add.u32 $;\n}", PtxError, "line 5"),
        (HEAD + ".entry k() { ret;", PtxError, "found 'the end'"),
        (HEAD + ".global .texref t;", UnsupportedError, "textures"),
        (HEAD + ".entry k() .reqnctapercluster 2 { ret; }", UnsupportedError, "clusters"),
        (HEAD + ".entry k() {" + "{" * 100, SoftGpuError, "nested scopes"),
        (HEAD + ".entry k() { .reg .b32 %r<2000000>; }", SoftGpuError, "registers"),
        (HEAD.replace("64", "32"), UnsupportedError, "64-bit addresses"),
        (HEAD + ".global .b8 x[99999999999];", SoftGpuError, "has 99999999999 bytes"),
    ],
)
def test_errors_say_what_and_where(text: str, error: type[Exception], message: str) -> None:
    def compile_it() -> None:
        unit = Unit(Program(make_outline(text), text))
        unit.text(unit.program.kernels, pointers=True, index=True)

    with pytest.raises(error) as failed:
        compile_it()
    assert message in str(failed.value)
