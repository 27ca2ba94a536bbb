# SPDX-License-Identifier: Apache-2.0
"""Demonstration: CUDA programs, and the toolkit that builds them."""
