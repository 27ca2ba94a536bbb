# SPDX-License-Identifier: Apache-2.0
"""libvgpu, the front end: generator, C sources, and its interface for tests."""
