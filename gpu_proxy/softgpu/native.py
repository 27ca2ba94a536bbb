# SPDX-License-Identifier: Apache-2.0
"""LLVM text to a relocatable object for this machine's CPU."""

from __future__ import annotations

import functools

import llvmlite.binding as llvm

# llvm.coro.end lost its result in LLVM 22.
CORO_END_TYPE = "void" if llvm.llvm_version_info[0] >= 22 else "i1"
TRIPLE = "x86_64-unknown-linux-gnu"


@functools.cache
def _target_machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
        reloc="pic",
        codemodel="small",
    )


def has_half_conversions() -> bool:
    """Whether the CPU converts f16 itself; without that, LLVM would call functions that no
    library has.
    """
    return bool(llvm.get_host_cpu_features().get("f16c"))


def cpu_identity() -> str:
    """What an object depends on besides its source."""
    features = llvm.get_host_cpu_features().flatten()
    return f"{llvm.llvm_version_info} {llvm.get_host_cpu_name()} {features}"


def warm_up() -> None:
    """Do the expensive initialisation now."""
    _target_machine()


def compile_text(text: str) -> bytes:
    """Parse, verify, optimise and emit."""
    machine = _target_machine()
    module = llvm.parse_assembly(text)
    module.triple = TRIPLE
    module.data_layout = str(machine.target_data)
    module.verify()
    _optimise(module, machine)
    return bytes(machine.emit_object(module))


def _optimise(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
