# SPDX-License-Identifier: Apache-2.0
"""Pod domains: the channel to each domain's agent, and sessions over granted pages."""
