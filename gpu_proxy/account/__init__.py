# SPDX-License-Identifier: Apache-2.0
"""What a session holds of its zone's device memory, as its worker knows it."""
