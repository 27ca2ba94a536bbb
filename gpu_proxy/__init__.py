# SPDX-License-Identifier: Apache-2.0
"""gpu-proxy, the back end."""
