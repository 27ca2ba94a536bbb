# SPDX-License-Identifier: Apache-2.0
"""`make gpu`: the suite in real mode."""
