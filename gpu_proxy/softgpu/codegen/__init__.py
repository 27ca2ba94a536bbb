# SPDX-License-Identifier: Apache-2.0
"""Lowering of PTX functions to the text of an LLVM module, one file per family of instructions."""

from gpu_proxy.softgpu.codegen.program import Program
from gpu_proxy.softgpu.codegen.unit import Unit

__all__ = ["Program", "Unit"]
