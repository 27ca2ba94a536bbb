# SPDX-License-Identifier: Apache-2.0
"""Lowering of a PTX module to the text of an LLVM module, one file per family of instructions."""

from gpu_proxy.softgpu.codegen.module import generate

__all__ = ["generate"]
