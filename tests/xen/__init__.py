# SPDX-License-Identifier: Apache-2.0
"""Real Xen in QEMU, and tests that run inside its Dom0. `README.md` is the runbook."""
