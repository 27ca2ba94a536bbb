# SPDX-License-Identifier: Apache-2.0
"""The environment variables that libcuda itself reads, and our own."""

import pytest

COUNT = "from cu import *\nstatus = lib.cuInit(0)\nsay(status, out('int', lambda p: lib.cuDeviceGetCount(p)) if not status else 0)"


@pytest.fixture
def two_devices(own_proxy, monkeypatch):
    monkeypatch.setenv("VGPU_SOFTGPU_DEVICES", "2")
    return own_proxy()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0", "0 1"),
        ("1", "0 1"),
        ("1,0", "0 2"),
        ("0,7,1", "0 1"),
        ("", "100 0"),
        ("-1", "100 0"),
        ("nonsense", "100 0"),
        ("0,0", "0 1"),
    ],
)
def test_visible_devices(two_devices, visible, expected):
    assert two_devices.run(COUNT, CUDA_VISIBLE_DEVICES=visible).strip() == expected


def test_visible_devices_by_uuid_and_work_on_the_second(two_devices):
    uuids = two_devices.run("""
from cu import *
check(lib.cuInit(0))
for i in range(2):
    say("GPU-" + bytes(out("CUuuid", lambda p: lib.cuDeviceGetUuid_v2(p, i)).bytes).hex())
""").split()
    assert uuids[0] != uuids[1]
    digits = uuids[1].removeprefix("GPU-")
    dashed = "GPU-" + "-".join(
        (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    )
    script = """
from cu import *
check(lib.cuInit(0))
assert out("int", lambda p: lib.cuDeviceGetCount(p)) == 1
say("GPU-" + bytes(out("CUuuid", lambda p: lib.cuDeviceGetUuid_v2(p, 0)).bytes).hex())
start()
p = alloc(64)
write_u32(p, 77)
assert read_u32(p) == 77
"""
    assert two_devices.run(script, CUDA_VISIBLE_DEVICES=dashed).strip() == uuids[1]
    # Two beginnings that both devices have name neither.
    common = next(i for i, (a, b) in enumerate(zip(*uuids, strict=True)) if a != b)
    if common < len("GPU-") + 8:
        beginning = dashed[: common + 1]
        assert two_devices.run(script, CUDA_VISIBLE_DEVICES=beginning).strip() == uuids[1]
    assert two_devices.run(COUNT, CUDA_VISIBLE_DEVICES="GPU-").strip() == "100 0"


def test_launch_blocking_makes_every_launch_wait(proxy):
    """The kernel is let go once the thread sleeps: in the launch, or after it in the synchronize."""
    script = """
from cu import *
import threading, time
context = start()
view, flag = host_alloc(4096)
kernel = function(module(), "wait_for")
main = threading.get_native_id()
def sleeps():
    with open(f"/proc/self/task/{main}/syscall") as file:
        return file.read().split()[0] == "7"  # poll
def release():
    while not sleeps():
        time.sleep(0.001)
    view[:4] = b"\\1\\0\\0\\0"
threading.Thread(target=release).start()
check(launch(kernel, 1, 1, u64(flag)))
say(view[0][0] if isinstance(view[0], bytes) else view[0])
check(lib.cuCtxSynchronize())
"""
    assert proxy.run(script, CUDA_LAUNCH_BLOCKING="1").strip() == "1"
    assert proxy.run(script, CUDA_LAUNCH_BLOCKING="0").strip() == "0"


@pytest.mark.parametrize(("value", "mode"), [("EAGER", "1"), ("LAZY", "2")])
def test_module_loading_mode(proxy, value, mode):
    script = "from cu import *\nstart()\nsay(out('CUmoduleLoadingMode', lambda p: lib.cuModuleGetLoadingMode(p)))"
    assert proxy.run(script, CUDA_MODULE_LOADING=value).strip() == mode


def test_the_log_level_is_honoured(proxy):
    script = "from cu import *\nstart()"
    assert "zone default" in proxy.start(script, VGPU_LOG="info").end()[1]
    assert proxy.start(script, VGPU_LOG="error").end()[1] == ""
