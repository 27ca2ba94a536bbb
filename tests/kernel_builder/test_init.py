# SPDX-License-Identifier: Apache-2.0
"""The first process, in a root and namespaces of its own, with a stand-in for the agent."""

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from guest_image.own_parts import CC, build_init
from guest_image.places import run

HERE = Path(__file__).parent
PATIENCE_S = 60
NAMESPACES = ("--user", "--map-root-user", "--mount", "--pid", "--fork", "--uts", "--net", "--ipc")
# The command line is bound before init starts; init then finds /proc mounted already.
START = (
    "mount -t proc proc {root}/proc && mount --bind {root}/cmdline {root}/proc/cmdline"
    " && exec chroot {root} /sbin/init"
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init")
    build_init(folder / "init")
    run([*CC, "-o", folder / "agent", HERE / "init_agent.c"])
    return folder


def can_unshare():
    command = ["unshare", *NAMESPACES, "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_unshare(), reason="no user namespaces on this machine")


class Guest:
    """init as the first process of its namespaces; what it and the agent print, line by line."""

    def __init__(self, programs, root, task, command_line):
        for name in ("proc", "sys", "dev", "run", "tmp", "var", "sbin", "usr/bin"):
            (root / name).mkdir(parents=True)
        shutil.copy(programs / "init", root / "sbin/init")
        if task is not None:
            shutil.copy(programs / "agent", root / "usr/bin/python3")
            (root / "task").write_text(task)
        (root / "cmdline").write_text(command_line + "\n")
        command = ["unshare", *NAMESPACES, "sh", "-c", START.format(root=root)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        self.timer = threading.Timer(PATIENCE_S, self.process.kill)
        self.timer.start()
        self.lines = []

    def until(self, part):
        """Read on to a line that has this part."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if part in line:
                return line.rstrip("\n")
        raise AssertionError("\n".join([f"no line has {part!r}:", *self.lines]))

    def first_process(self):
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(path.read_text().split()[0])

    def end(self):
        self.timer.cancel()
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def start(programs, tmp_path):
    guests = []

    def one(task="stay", command_line=""):
        guests.append(Guest(programs, tmp_path / "root", task, command_line))
        return guests[-1]

    yield one
    for guest in guests:
        guest.end()


def test_it_starts_the_agent_and_says_when_it_was_ready(start):
    guest = start()
    assert "ready after" in guest.until("ready")
    assert "agent: started stay as -I -m idm.xen.agent" in guest.until("started")


def test_an_agent_that_ends_is_named_and_started_again_after_a_pause(start):
    guest = start("exit")
    assert guest.until("again in") == "vgpu-init: agent ended with 3; again in 1 s"
    assert "started stay" in guest.until("started stay")


def test_an_agent_that_is_killed_is_named_with_its_signal(start):
    guest = start()
    guest.until("agent: stays")
    inner = Path(f"/proc/{guest.first_process()}/task/{guest.first_process()}/children")
    os.kill(int(inner.read_text().split()[0]), signal.SIGKILL)
    assert guest.until("again in") == "vgpu-init: agent was killed by signal 9; again in 1 s"


def test_a_missing_agent_is_named_and_tried_again_less_often(start):
    guest = start(task=None)
    assert "/usr/bin/python3: No such file or directory" in guest.until("python3")
    assert "again in 1 s" in guest.until("again in")
    assert "again in 2 s" in guest.until("again in")
    assert "again in 4 s" in guest.until("again in")


def test_orphans_are_buried(start):
    guest = start("orphan")
    guest.until("agent: alone")


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGUSR2])
def test_it_powers_off_when_asked(start, asked):
    guest = start()
    guest.until("agent: stays")
    os.kill(guest.first_process(), asked)
    guest.until("powering off")
    assert guest.process.wait(PATIENCE_S) == -signal.SIGINT  # what reboot(2) does to a namespace


def test_it_starts_again_when_asked(start):
    guest = start()
    guest.until("agent: stays")
    os.kill(guest.first_process(), signal.SIGINT)
    guest.until("starting again")
    assert guest.process.wait(PATIENCE_S) == -signal.SIGHUP


def test_settings_of_the_command_line_are_followed(start):
    ip = "10.9.8.7:::255.255.0.0:other:lo::10.0.0.1:10.0.0.2"
    guest = start("show", f"console=hvc0 vgpu.hostname=wrong vgpu.ip={ip} quiet vgpu.hostname=red")
    guest.until("agent: stays")
    told = [line.removeprefix("agent: ") for line in guest.lines if line.startswith("agent: ")]
    assert "hostname red" in told
    assert "/run/hosts: 127.0.0.1 localhost ::1 localhost 127.0.1.1 red " in told
    assert "/run/resolv.conf: nameserver 10.0.0.1 nameserver 10.0.0.2 " in told
    assert "address 10.9.8.7" in told
    assert "netmask 255.255.0.0" in told


def test_the_address_gives_the_name_when_no_setting_does(start):
    guest = start("show", "vgpu.ip=10.9.8.7::::blue:lo")
    guest.until("hostname blue")
    assert guest.until("netmask") == "agent: netmask 255.0.0.0"


def test_a_name_that_cannot_be_one_is_refused(start):
    guest = start("show", "vgpu.hostname=a/b")
    assert guest.until("no name") == "vgpu-init: a/b is no name for a host"
    guest.until("hostname pod")


@pytest.mark.parametrize("ip", ["10.9.8", "10.9.8.7::::" + "x" * 70, ":", "10.9.8.7::gate"])
def test_an_address_that_cannot_be_one_is_named(start, ip):
    guest = start("show", f"vgpu.ip={ip}")
    assert f"vgpu.ip={ip} is not client" in guest.until("is not client")
    guest.until("agent: stays")


def test_a_setting_that_is_too_long_is_named(start):
    guest = start("show", "vgpu.hostname=" + "x" * 300)
    assert "is longer than 255 bytes" in guest.until("is longer")


def test_scratch_folders_have_the_usual_modes(start):
    guest = start("show")
    guest.until("agent: stays")
    for line in ("/tmp 1777", "/run 755", "/var/tmp 1777"):
        assert f"agent: {line}" in guest.lines
