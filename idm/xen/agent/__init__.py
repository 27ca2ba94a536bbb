# SPDX-License-Identifier: Apache-2.0
"""The zone's agent: owns /dev/xen in a pod domain and hands out sessions to its processes."""
