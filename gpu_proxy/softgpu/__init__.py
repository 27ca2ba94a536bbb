# SPDX-License-Identifier: Apache-2.0
"""The software GPU: a CUDA driver for the CPU. This package compiles PTX to native objects."""
