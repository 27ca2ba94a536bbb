# SPDX-License-Identifier: Apache-2.0
"""Builds what a pod domain boots: kernel and root image. `../README.md` is the runbook."""
