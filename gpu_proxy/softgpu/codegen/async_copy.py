# SPDX-License-Identifier: Apache-2.0
"""cp.async: copies that are done at once, which is one of the orders that the instruction
allows.
"""

from __future__ import annotations

from gpu_proxy.softgpu.codegen.emitter import const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.memory import address, ignore_hints
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Imm, Instr


@instruction("cp")
def copy(fn: Lowering, i: Instr, mods: Mods) -> None:
    """cp.async.{ca,cg}.shared.global [dst], [src], size[, src_size]; commit_group, wait_group,
    wait_all
    """
    mods.one_of("async")
    if mods.choice("commit_group", "wait_group", "wait_all"):
        return
    ignore_hints(mods)
    if mods.choice("shared", "shared::cta") is None:
        raise UnsupportedError("")
    mods.one_of("global")
    size = i.args[2]
    if not isinstance(size, Imm) or size.bits not in (4, 8, 16):
        raise UnsupportedError("a size that is not 4, 8 or 16")
    to, source = address(fn, i.args[0]), address(fn, i.args[1])
    given = fn.read(i.args[3], "u32") if len(i.args) > 3 else const("i32", size.bits)
    fn.runtime("sg_op_cp_async", "void", to, source, const("i32", size.bits), given)
