# SPDX-License-Identifier: Apache-2.0
"""One domain of a test: created and destroyed with xl, watched through console and xenstore."""

from __future__ import annotations

import base64
import itertools
import json
import re
from pathlib import Path

from hypervisor import command, domains, read_store
from images import Image
from waiting import SECONDS, wait_until

LINE_CHARACTERS = 1024  # of a console's line; the terminal takes at most 4095
LOOKS_PER_LIST = 20  # `xl list` costs 100 ms under emulation, a look at the console nothing
LOGS = Path("/var/log/xen")


class Domain:
    """Precondition: the name was never used before, so that its console log is its own."""

    def __init__(self, name: str, kind: str, image: Image, folder: Path, **settings: object):
        self.name = name
        self.image = image
        self.domid = -1
        self.config = folder / f"{name}.cfg"
        self.config.write_text(config_text(self.values(kind, settings)))
        self._numbers = itertools.count(1)

    def values(self, kind: str, settings: dict[str, object]) -> dict[str, object]:
        """What the configuration says; a test's settings win."""
        image = self.image
        disks = [
            f"vdev=xvd{letter},{words}"
            for letter, words in zip("abcdefgh", image.disks, strict=False)
        ]
        values = {
            "name": self.name,
            "type": kind,
            "kernel": str(image.kernel),
            "memory": image.memory,
            "vcpus": 1,
            "max_grant_frames": 128,
            "extra": image.options,
            "tsc_mode": "native",
            "on_crash": "destroy",
            "on_reboot": "destroy",
            "disk": disks,
        }
        if image.ramdisk:
            values["ramdisk"] = str(image.ramdisk)
        return {**values, **settings}

    def create(self) -> None:
        """`xl create`; the guest is still booting afterwards."""
        command("xl", "create", "-q", self.config)
        self.domid = int(command("xl", "domid", self.name))

    def boot(self, seconds: float = SECONDS) -> Domain:
        """Create, and wait until the guest says that it is up."""
        self.create()
        self.wait_console(self.image.ready, seconds)
        return self

    def destroy(self) -> None:
        """`xl destroy`; what Dom0 has mapped keeps the domain as a zombie."""
        command("xl", "destroy", self.domid)

    def is_listed(self) -> bool:
        """Whether Xen still has it, dying or not."""
        return self.domid in domains()

    def wait_gone(self, seconds: float = SECONDS) -> None:
        """Until no zombie is left."""
        wait_until(lambda: not self.is_listed(), f"domain {self.name} is gone", seconds)

    @property
    def console(self) -> str:
        """All that its console printed."""
        log = LOGS / f"guest-{self.name}.log"
        return log.read_text(errors="replace").replace("\r", "") if log.exists() else ""

    def wait_console(self, pattern: str, seconds: float = SECONDS) -> re.Match[str]:
        """Until the console has printed this; ends early when the domain does."""

        looks = itertools.count(1)

        def found() -> re.Match[str] | None:
            ended = not next(looks) % LOOKS_PER_LIST and not self.is_listed()
            match = re.search(pattern, self.console)
            if match is None and ended:
                raise AssertionError(f"{self.name} ended before its console said {pattern!r}")
            return match

        return wait_until(found, f"{self.name}'s console says {pattern!r}", seconds)

    def read(self, path: str) -> str | None:
        """A node of xenstore below the domain's own directory."""
        return read_store(f"/local/domain/{self.domid}/{path}")

    def wait_store(self, path: str, value: str | None = None, seconds: float = SECONDS) -> str:
        """Until the node is there, and has this value if one is given."""

        def there() -> list[str] | None:
            found = self.read(path)
            return [found] if found is not None and value in (None, found) else None

        return wait_until(there, f"{self.name}: {path} is {value or 'there'}", seconds)[0]

    def run(self, script: str, seconds: float = SECONDS, expected: int = 0) -> str:
        """Run a script of the image's shell on the console; what it printed."""
        number = self.start(script)
        end = self.wait_console(rf"vgpu-end {number} (\d+)\n", seconds)
        begin = re.search(rf"vgpu-begin {number}\n", self.console)
        output = self.console[begin.end() : end.start()]
        assert int(end.group(1)) == expected, f"exit {end.group(1)}\n{output}"
        return output

    def start(self, script: str) -> int:
        """Type a script into the console, and return the number under which it reports."""
        number = next(self._numbers)
        file, text = f"/run/script.{number}", base64.b64encode(script.encode()).decode()
        lines = [self.image.first] if number == 1 and self.image.first else []
        lines.append("text=")
        for start in range(0, len(text), LINE_CHARACTERS):
            lines.append(f"text=${{text}}{text[start : start + LINE_CHARACTERS]}")
        lines.append(f"echo $text | base64 -d >{file}; echo vgpu-begin {number}")
        lines.append(f"{self.image.shell} {file} </dev/null; echo vgpu-end {number} $?")
        terminal = read_store(f"/local/domain/{self.domid}/console/tty")
        with open(terminal, "w", buffering=1) as console:
            for line in lines:
                console.write(line + "\n")
        return number


def config_text(values: dict[str, object]) -> str:
    """xl's syntax: JSON's numbers, strings and lists are what it reads."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
