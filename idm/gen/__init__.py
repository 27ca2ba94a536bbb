# SPDX-License-Identifier: Apache-2.0
"""Generators: what is derived from the call table, written into the build directory."""
