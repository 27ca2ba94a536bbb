# SPDX-License-Identifier: Apache-2.0
"""Reading PTX: text to tokens to a syntax tree in which every register has a unique name."""

from gpu_proxy.softgpu.ptx.parser import parse

__all__ = ["parse"]
