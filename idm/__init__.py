# SPDX-License-Identifier: Apache-2.0
"""The contract between front end and back end: call table, codec, rings."""
