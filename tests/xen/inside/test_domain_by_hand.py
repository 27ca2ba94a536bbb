# SPDX-License-Identifier: Apache-2.0
"""Pod domains without `vgpu domain create`, and `create` without gpu-proxy."""

from __future__ import annotations

import pytest
from commands import GUEST, create, run
from gpu_program import PROGRAM
from hypervisor import command, domains, store_paths

pytestmark = pytest.mark.skipif(
    not (GUEST / "root.erofs").exists(), reason="no pod image: make guest-image"
)
MIB = 1 << 20


def test_plain_xl_create(proxy, tmp_path):
    """The template of the image, and a gpu-proxy whose configuration names the domain."""
    text = (GUEST / "pod-pvh.cfg").read_text().replace("/usr/lib/vgpu/guest", str(GUEST))
    config = tmp_path / "plain.cfg"
    config.write_text(text + 'name = "plain-1"\nmemory = 256\ntsc_mode = "native"\n')
    proxy.restart("--zone=named:domain=plain-1,device_memory=32MiB")
    try:
        command("xl", "create", "-q", config)
        try:
            proxy.wait_for("domain-connected", zone="named", seconds=180)
            assert run("plain-1", "python3", "-c", PROGRAM) == f"right on {32 * MIB} bytes\n"
        finally:
            command("xl", "destroy", "plain-1")
    finally:
        proxy.restart()


def test_no_gpu_proxy(proxy, tmp_path):
    proxy.stop()
    before = store_paths()
    try:
        done = create("alone-1", tmp_path, "--", "true")
        assert (done.code, done.output) == (1, "")
        assert "is gpu-proxy --xen running in domain 0?" in done.errors
        assert not [one for one in domains().values() if one.name == "alone-1"]
        assert store_paths() <= before
    finally:
        proxy.restart()
