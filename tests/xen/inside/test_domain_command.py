# SPDX-License-Identifier: Apache-2.0
"""`vgpu domain`: pod domains of the real image, with a GPU, made, used and destroyed by hand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest
from commands import GUEST, WORDS, Done, Running, console, create, run, vgpu, wait_ended
from gpu_program import PROGRAM
from hypervisor import domains, store_paths
from waiting import wait_until

from idm.xen import nodes

pytestmark = pytest.mark.skipif(
    not (GUEST / "root.erofs").exists(), reason="no pod image: make guest-image"
)
GIB = 1 << 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the commands keep what belongs to domains."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def name(proxy, folder):
    """A domain that several tests use, made with its first command."""
    done = create("exec-1", folder, "--gpu-memory=1G", "--", "python3", "-c", PROGRAM)
    assert done == Done(0, f"right on {GIB} bytes\n", ""), console("exec-1")
    assert proxy.lines("domain-served", zone="exec-1")
    yield "exec-1"
    assert vgpu("destroy", f"--state-dir={folder}", "exec-1") == Done(0, "", "")
    assert not list((folder / ".domains").iterdir())


def test_streams_and_exit_code(name):
    done = vgpu("exec", name, "--", "sh", "-c", "cat; echo err >&2; exit 7", text="in\n")
    assert done == Done(7, "in\n", "err\n")


def test_environment_directory_and_user(name):
    words = ("--env=A=1 2", "--cwd=/tmp", "--user=1000:1001", name)
    done = vgpu("exec", *words, "--", "sh", "-c", 'echo "$A" $(pwd) $(id -u) $(id -g)')
    assert done.output == "1 2 /tmp 1000 1001\n"


def test_an_unprivileged_user_has_the_gpu(name):
    assert vgpu("exec", "--user=1000", name, "--", "python3", "-c", PROGRAM).code == 0


def test_what_cannot_be_started(name):
    done = vgpu("exec", name, "--", "nonexistent-program")
    assert (done.code, done.output) == (127, "")
    assert "nonexistent-program: No such file" in done.errors


def test_megabytes_through_both_streams(name):
    text = "0123456789abcde\n" * (2 << 16)
    assert (
        hashlib.sha256(run_with(name, text).encode()).digest()
        == hashlib.sha256(text.encode()).digest()
    )


def run_with(name: str, text: str) -> str:
    done = vgpu("exec", name, "--", "cat", text=text)
    assert (done.code, done.errors) == (0, "")
    return done.output


def test_several_at_once(name):
    runs = [
        Running("exec", name, "--", "sh", "-c", f"echo {n}; read x; exit {n}") for n in range(3)
    ]
    assert [one.line() for one in runs] == ["0\n", "1\n", "2\n"]
    (listed,) = [one for one in json.loads(vgpu("list", "--json").output) if one["name"] == name]
    assert (listed["state"], listed["commands"], listed["memory_kib"]) == ("served", 3, 256 << 10)
    assert [one.end("go\n").code for one in runs] == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(name, number):
    script = f"trap 'echo caught' {number.value}; echo ready; sleep 1000 & wait; kill $!; exit 9"
    one = Running("exec", name, "--", "sh", "-c", script)
    assert one.line() == "ready\n"
    one.process.send_signal(number)
    assert one.end() == Done(9, "caught\n", "")
    one = Running("exec", name, "--", "sh", "-c", "echo ready; exec sleep 1000")
    assert one.line() == "ready\n"
    one.process.send_signal(number)
    assert one.end().code == 128 + number


def test_a_terminal(name):
    master, slave = pty.openpty()
    one = subprocess.Popen(
        [*WORDS, "exec", "-t", name, "--", "sh"], cwd="/repo",
        stdin=slave, stdout=slave, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    seen = bytearray()

    def says(pattern: bytes) -> None:
        os.set_blocking(master, False)

        def there() -> bool:
            with contextlib.suppress(BlockingIOError):
                seen.extend(os.read(master, 4096))
            return re.search(pattern, seen) is not None

        wait_until(there, f"the terminal says {pattern!r}, not {bytes(seen)!r}")

    says(rb"[#$] ")
    os.write(master, b"tty; sleep 1000\r")
    says(rb"/dev/pts/\d+\r\n")
    os.write(master, b"\x03")
    os.write(master, b"echo still $((40 + 2)); exit 5\r")
    says(rb"still 42\r\n")
    assert one.wait(60) == 5
    os.close(master)


def test_a_killed_command_line_kills_what_it_ran(name):
    one = Running("exec", name, "--", "sh", "-c", "echo $$; exec sleep 1000")
    pid = one.line().strip()
    one.process.kill()
    one.end()
    wait_ended(name, pid)
    assert not [path for path in store_paths() if nodes.EXEC in path]  # the next one swept


def test_the_agent_begins_again(name):
    one = Running("exec", name, "--", "sh", "-c", "echo ready; exec sleep 1000")
    assert one.line() == "ready\n"
    agent = "kill -9 $(pgrep -f idm.xen.agent)"
    assert vgpu("exec", name, "--", "sh", "-c", agent).code == 1
    done = one.end()
    assert done.code == 1
    assert f"domain {name}: " in done.errors
    assert "right on" in run(name, "python3", "-c", PROGRAM_THAT_WAITS)


# The agent that begins again has its channel to gpu-proxy a moment later.
PROGRAM_THAT_WAITS = f"""
import ctypes, os, sys, time
end = time.monotonic() + 60
while os.spawnlp(os.P_WAIT, sys.executable, "python3", "-c", {PROGRAM!r}) != 0:
    assert time.monotonic() < end
"""


def test_an_image(proxy, folder):
    """Dom0's own root as the image: Debian, which has a Python of its own, and no libcuda."""
    image = f"--image={os.path.realpath('/dev/vgpu/root')}"
    words = ("--gpu-memory=64M", "--rm", image)
    script = (
        "import os; print(sorted(os.listdir('/')).count('venv'), os.path.exists('/run/vgpu'))\n"
    )
    done = create(
        "image-1", folder, *words, "--", "env", "-i", "/usr/bin/python3", "-c", script + PROGRAM
    )
    assert done == Done(0, f"1 True\nright on {64 << 20} bytes\n", ""), console("image-1")
    assert not [one for one in domains().values() if one.name == "image-1"]


def test_a_domain_that_is_destroyed_while_a_command_runs(proxy, folder):
    assert create("gone-1", folder, kind="pv").code == 0
    one = Running("exec", "gone-1", "--", "sh", "-c", "echo ready; exec sleep 1000")
    assert one.line() == "ready\n"
    assert vgpu("destroy", f"--state-dir={folder}", "gone-1") == Done(0, "", "")
    done = one.end()
    assert (done.code, done.output) == (1, "")
    assert "domain gone-1 is gone" in done.errors
    assert vgpu("exec", "gone-1", "--", "true").errors.startswith("vgpu: no domain 'gone-1'")
