# SPDX-License-Identifier: Apache-2.0
"""The transport between Xen domains: grants, event channels, xenstore, and the zone's agent.

Only the standard library is needed here, because it runs in pod domains as well.
"""
