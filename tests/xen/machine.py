# SPDX-License-Identifier: Apache-2.0
"""One QEMU that runs Xen: its command line, its life, and what it says when it does not start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.xen.dom0_root import Dom0
from tests.xen.places import HarnessError, digest, digest_of_bytes, stamp_of, tool

MEMORY_MIB = 4096
DOM0_MEMORY_MIB = 1792
PHYSICAL_CPUS = 2
DOM0_CPUS = 2
GRANT_FRAMES = 256  # 131,072 grants a domain
MAPTRACK_FRAMES = 4096
BOOT_SECONDS = 300
POWER_OFF_SECONDS = 30
BAUD = 115200 * 100  # Xen waits while a debug key prints thousands of grants
POLL_SECONDS = 0.05
CONSOLE_TAIL_LINES = 60

# `max` and EPYC crash Dom0 early under emulation; PVH needs npt, `xl create` needs rdrand's entropy.
CPU = "qemu64,+npt,+rdrand"
XEN_OPTIONS = (
    "console=com1 com1=115200,8n1 conring_size=1M loglvl=warning guest_loglvl=warning "
    f"dom0_mem={DOM0_MEMORY_MIB}M,max:{DOM0_MEMORY_MIB}M dom0_max_vcpus={DOM0_CPUS} "
    f"gnttab_max_frames={GRANT_FRAMES} gnttab_max_maptrack_frames={MAPTRACK_FRAMES}"
)
LINUX_OPTIONS = "console=hvc0 panic=-1 quiet random.trust_cpu=on vgpu.start=dom0"


@dataclass
class Machine:
    """A running or ended QEMU; everything about it is in one folder."""

    folder: Path
    process: int = 0

    @property
    def share(self) -> Path:
        """Dom0's /share."""
        return self.folder / "share"

    @property
    def console(self) -> Path:
        """What Xen and Dom0 print."""
        return self.folder / "console.log"

    def start(self, dom0: Dom0, disks: dict[str, Path]) -> None:
        """Boot; the caller waits with `wait_ready`."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.share / "jobs").mkdir(parents=True)
        shutil.copy(dom0.initramfs, self.share)  # trial guests boot from it as well
        with (self.folder / "qemu.log").open("wb") as log:
            started = subprocess.Popen(
                command_line(dom0, disks),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.process = started.pid
        (self.folder / "images").write_text(images_key(dom0, disks))
        self.set_repository_key(stamp_of(disks["repo"]))
        (self.folder / "pid").write_text(str(started.pid))  # last: now `kept_machine` finds it

    def has(self, dom0: Dom0, disks: dict[str, Path]) -> bool:
        """Whether it was started from these images; the repository's may be newer."""
        return (self.folder / "images").read_text() == images_key(dom0, disks)

    def repository_key(self) -> str:
        """Which state of the checkout Dom0 has."""
        return (self.folder / "repository").read_text()

    def set_repository_key(self, key: str) -> None:
        """Remember it."""
        (self.folder / "repository").write_text(key)

    def is_running(self) -> bool:
        """Whether QEMU lives; reaps it when it was our child and ended."""
        if not self.process:
            return False
        try:
            if os.waitpid(self.process, os.WNOHANG)[0]:
                self.process = 0
                return False
        except ChildProcessError:
            pass  # another run of the harness started it
        return is_machine(self.process, self.folder)

    def wait_ready(self) -> float:
        """Until Dom0 takes jobs; seconds since the start of QEMU."""
        begin = time.monotonic()
        while not (self.share / "ready").exists():
            if not self.is_running():
                raise HarnessError(f"Xen ended while it booted\n{self.tail()}")
            if time.monotonic() - begin > BOOT_SECONDS:
                self.kill()
                raise HarnessError(f"Dom0 was not ready after {BOOT_SECONDS} s\n{self.tail()}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begin

    def tail(self) -> str:
        """The last lines of the console, and of QEMU itself."""
        text = ""
        for file in (self.folder / "qemu.log", self.console):
            if file.exists():
                lines = file.read_text(errors="replace").splitlines()[-CONSOLE_TAIL_LINES:]
                text += f"--- {file.name}\n" + "\n".join(lines) + "\n"
        return text

    def power_off(self) -> None:
        """Ask Dom0 to end; kill QEMU if it does not."""
        if self.is_running():
            (self.share / "stop").touch()
        deadline = time.monotonic() + POWER_OFF_SECONDS
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End QEMU at once."""
        while self.is_running():
            os.kill(self.process, signal.SIGKILL)
            time.sleep(POLL_SECONDS)


def images_key(dom0: Dom0, disks: dict[str, Path]) -> str:
    """One name for what a machine was started from."""
    stamps = [stamp_of(image) for name, image in sorted(disks.items()) if name != "repo"]
    return digest(stamp_of(dom0.root), *stamps, digest_of_bytes(dom0.initramfs))


def find_machine(folder: Path) -> Machine:
    """The machine of this folder, which may be running or not."""
    file = folder / "pid"
    process = int(file.read_text()) if file.exists() else 0
    return Machine(folder, process if process and is_machine(process, folder) else 0)


def is_machine(process: int, folder: Path) -> bool:
    """Whether this process is the QEMU of this folder: numbers are used again."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" and Path(f"/proc/{process}/cwd").resolve() == folder.resolve()
    except OSError:
        return False


def command_line(dom0: Dom0, disks: dict[str, Path]) -> list[str]:
    """QEMU's arguments; it runs in the machine's folder."""
    command = [tool("qemu-system-x86_64"), "-machine", "q35", "-accel", "tcg,thread=multi"]
    command += ["-cpu", CPU, "-smp", str(PHYSICAL_CPUS), "-m", f"{MEMORY_MIB}M"]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-monitor", "none", "-serial", "file:console.log"]
    command += ["-global", f"serial.baudbase={BAUD}"]
    command += ["-chardev", "socket,id=shell,path=shell.sock,server=on,wait=off"]
    command += ["-serial", "chardev:shell"]
    command += ["-kernel", str(dom0.xen), "-append", XEN_OPTIONS]
    command += ["-initrd", f"{dom0.kernel} {LINUX_OPTIONS},{dom0.initramfs}"]
    for name, image in {"root": dom0.root, **disks}.items():
        drive = f"if=none,id={name},file={image},format=raw,readonly=on"
        command += ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]
    share = "local,path=share,mount_tag=share,security_model=none,multidevs=remap"
    return [*command, "-virtfs", share]
