# SPDX-License-Identifier: Apache-2.0
"""Kernels of one module that were compiled apart: they share variables and functions."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest
from softgpu_harness import Gpu, KernelFault, LazyImage, kernel

from gpu_proxy.softgpu import jobs

# Functions that are found through a table, through a variable that another kernel wrote, and by
# name. `twice` waits, so its callers run on fibers.
BEFORE = """
.global .align 8 .u64 table[2] = {twice, thrice};
.global .align 8 .u64 kept;
.global .align 4 .u32 total;
.global .align 8 .u64 where = generic(total);
.func (.param .b32 r) twice (.param .b32 a)
{ .reg .b32 %r<3>; ld.param.u32 %r1, [a]; bar.sync 0; add.u32 %r2, %r1, %r1;
  st.param.b32 [r], %r2; ret; }
.func (.param .b32 r) thrice (.param .b32 a)
{ .reg .b32 %r<3>; ld.param.u32 %r1, [a]; mul.lo.u32 %r2, %r1, 3; st.param.b32 [r], %r2; ret; }
.func (.param .b32 r) forever (.param .b32 a) { L: bra L; }
.func (.param .b32 r) unused (.param .b32 a) { .reg .b32 %x; vadd.s32.s32.s32 %x, 1, 2; ret; }
"""
CALL = (
    "{{ .param .b32 p; .param .b32 q; st.param.b32 [p], {value}; call (q), {target}, (p), proto;"
    " ld.param.b32 %r9, [q]; }}\n"
)
PROTO = "proto: .callprototype (.param .b32 _) _ (.param .b32 _);\n"
KERNELS = {
    "add": "ld.param.u32 %r1, [n]; atom.global.add.u32 %r2, [total], %r1;",
    "add_there": "ld.param.u32 %r1, [n]; ld.global.u64 %d1, [where];"
    "cvta.to.global.u64 %d1, %d1; red.global.add.u32 [%d1], %r1;",
    "keep": "mov.u64 %d1, thrice; st.global.u64 [kept], %d1;",
    "call_kept": PROTO
    + "ld.global.u64 %d1, [kept]; ld.param.u32 %r1, [n];"
    + CALL.format(target="%d1", value="%r1")
    + "st.global.u32 [total], %r9;",
    "call_table": PROTO
    + "ld.param.u32 %r1, [n]; mul.wide.u32 %d2, %r1, 8; mov.u64 %d3, table; add.u64 %d2, %d2, %d3;"
    + "ld.global.u64 %d1, [%d2];"
    + CALL.format(target="%d1", value="7")
    + "st.global.u32 [total], %r9;",
    "call_wild": PROTO + "mov.u64 %d1, 12345;" + CALL.format(target="%d1", value="7"),
    "stop": PROTO + "mov.u64 %d1, forever;" + CALL.format(target="%d1", value="7"),
}
SOURCE = kernel("u32 n", "", name="nothing", before=BEFORE) + "".join(
    kernel("u32 n", body, name=name).partition("64\n")[2] for name, body in KERNELS.items()
)


@pytest.fixture
def image(gpu: Gpu) -> LazyImage:
    return gpu.load_lazily(SOURCE)


def total(image: LazyImage) -> int:
    return int.from_bytes(image.read_global("total"), "little")


def test_nothing_is_compiled_before_it_runs(image: LazyImage) -> None:
    assert not any(image.is_ready(name) for name in image.kernels)
    image.run("add", 1, 1, 5)
    assert [name for name in image.kernels if image.is_ready(name)] == ["add"]


def test_a_kernel_without_code_does_not_run(gpu: Gpu, image: LazyImage) -> None:
    with pytest.raises(KernelFault, match="a kernel without code"):
        super(LazyImage, image).run("add", 1, 1, 5)


def test_variables_are_shared(image: LazyImage) -> None:
    image.run("add", 1, 1, 5)
    image.run("add_there", 1, 1, 6)
    assert total(image) == 11


def test_function_addresses_are_the_same_in_all_kernels(image: LazyImage) -> None:
    image.run("keep", 1, 1, 0)
    image.run("call_kept", 1, 1, 14)
    assert total(image) == 42


def test_functions_in_initial_values(image: LazyImage) -> None:
    for n, expected in ((0, 14), (1, 21)):
        image.run("call_table", 1, 2, n)
        assert total(image) == expected


def test_a_call_to_nowhere_is_still_caught(image: LazyImage) -> None:
    with pytest.raises(KernelFault, match="ILLEGAL_INSTRUCTION"):
        image.run("call_wild", 1, 1, 0)


def test_functions_of_another_object_can_be_stopped(image: LazyImage) -> None:
    cancel = ctypes.c_int(0)
    timer = threading.Timer(0.3, lambda: setattr(cancel, "value", 1))
    timer.start()
    with pytest.raises(KernelFault, match="CANCELLED"):
        image.run("stop", 1, 1, 0, cancel=ctypes.addressof(cancel))
    timer.join()


def test_code_is_added_once(image: LazyImage) -> None:
    """Two objects may have the same kernel: it keeps the code that it has."""
    number = list(image.kernels).index("add")
    code = jobs.compile_kernel(image.image, image.outline, number)
    image.add(code)
    first = image.kernels["add"].contents.code
    image.add(code)
    assert image.kernels["add"].contents.code == first
    image.run("add", 1, 3, 1)
    assert total(image) == 3


def test_code_of_another_module_is_refused(gpu: Gpu, image: LazyImage) -> None:
    other = gpu.load_lazily(kernel("u32 n", "", name="only"))
    number = list(image.kernels).index("add")
    code = jobs.compile_kernel(image.image, image.outline, number)
    with pytest.raises(ValueError, match="its code is of another module"):
        other.add(code)
    with pytest.raises(ValueError, match="it is no code of a module"):
        image.add(jobs.split_loaded(jobs.load(SOURCE.encode()))[1])
    with pytest.raises(ValueError, match="it is no index of a module"):
        gpu.load_object(code)


def test_variables_of_one_name_in_two_bodies_are_two(gpu: Gpu) -> None:
    body = ".global .u32 own; ld.param.u64 %d1, [out]; atom.global.add.u32 %r1, [own], {}; st.global.u32 [%d1], %r1;"
    first = kernel("u64 out", body.format(1), name="first")
    text = first + kernel("u64 out", body.format(100), name="second").partition("64\n")[2]
    for image in (gpu.compile(text), gpu.load_lazily(text)):
        found = []
        for name in ("first", "second", "first", "second"):
            out = gpu.zeros(1, np.uint32)
            image.run(name, 1, 1, out)
            found.append(int(out.get()[0]))
        assert found == [0, 0, 1, 100]


def test_a_kernel_may_be_added_while_others_run(gpu: Gpu, image: LazyImage) -> None:
    cancel = ctypes.c_int(0)
    caught: list[str] = []

    def endless() -> None:
        try:
            super(LazyImage, image).run("stop", 1, 1, 0, cancel=ctypes.addressof(cancel))
        except KernelFault as fault:
            caught.append(fault.kind)

    number = list(image.kernels).index("stop")
    image.add(jobs.compile_functions(image.image, image.outline))
    image.add(jobs.compile_kernel(image.image, image.outline, number))
    thread = threading.Thread(target=endless)
    thread.start()
    for name in ("add", "add_there", "keep"):
        image.run(name, 1, 1, 1)
    assert total(image) == 2
    cancel.value = 1
    thread.join(30)
    assert caught == ["CANCELLED"]
