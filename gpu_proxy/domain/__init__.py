# SPDX-License-Identifier: Apache-2.0
"""Pod domains, seen from the toolstack's domain: make them, run commands in them, destroy them.

Everything here needs root in the domain that has the toolstack's rights, which is Dom0 as a rule.
"""
