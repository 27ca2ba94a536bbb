# SPDX-License-Identifier: Apache-2.0
"""The commands as a user has them: from the environment's bin, started anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from applications import wait_until

BIN = Path(sys.executable).parent


@pytest.fixture
def bare(tmp_path, monkeypatch):
    if not (BIN / "gpu-proxy").exists():
        pytest.skip("the package is not installed here: make build")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir("/")
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_readmes_session(bare, tmp_path):
    runtime = Path("/tmp") / f"vgpu-installed-{os.getpid()}"
    log = (tmp_path / "log").open("wb")
    daemon = subprocess.Popen(
        [BIN / "gpu-proxy", "--stub", "--runtime-dir", runtime], env=bare, stderr=log, cwd="/"
    )
    try:
        wait_until((runtime / "default" / "proxy.sock").exists, "the daemon listens", 60)
        library = subprocess.check_output([BIN / "vgpu", "lib"], env=bare, text=True).strip()
        assert Path(library).name == "libvgpu.so"
        script = Path(__file__).resolve().parents[1] / "programs" / "cuda_python.py"
        program = [sys.executable, str(script)]
        preload = {**bare, "LD_PRELOAD": library, "VGPU_SOCKET": f"{runtime}/default/proxy.sock"}
        subprocess.run(program, env=preload, check=True, capture_output=True, timeout=120)
        vgpu = [str(BIN / "vgpu"), "run", "--runtime-dir", str(runtime), "--"]
        subprocess.run([*vgpu, *program], env=bare, check=True, capture_output=True, timeout=120)
        info = [str(BIN / "vgpu"), "info", "--runtime-dir", str(runtime)]
        assert "default" in subprocess.check_output(info, env=bare, text=True)
        assert subprocess.run([*vgpu, "false"], env=bare, check=False).returncode == 1
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0
        log.close()
