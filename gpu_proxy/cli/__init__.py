# SPDX-License-Identifier: Apache-2.0
"""The commands `gpu-proxy` and `vgpu`."""
