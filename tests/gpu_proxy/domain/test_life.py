# SPDX-License-Identifier: Apache-2.0
"""Domains are made so that the guest finds its GPU, and nothing of one that failed is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_xen import BACK, FakeXen
from toolstack import NUMBER, GpuProxy, Xl

from gpu_proxy.domain import domains, life
from gpu_proxy.domain.guest import Guest
from gpu_proxy.domain.life import Toolstack
from gpu_proxy.domain.pod import Pod
from gpu_proxy.errors import BackEndSilent, DomainError, DomainGone, DomainMissing, ToolFailed
from idm.xen import nodes

GUEST = Guest(Path("/guest/vmlinux"), (Path("/guest/root.erofs"),), "quiet")
POD = Pod("a", 512, GUEST, quota={"device-memory": 1 << 30, "sessions": 3})


class Place:
    """A toolstack's domain, its folder, its xl, its gpu-proxy."""

    def __init__(self, xen: FakeXen, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = xen.store(BACK)
        self.folder = folder
        self.before = xen.paths()
        self.xl = Xl(xen.store(BACK))
        self.proxy = GpuProxy(xen, self.xl)
        monkeypatch.setattr(life, "xl", self.xl)
        self.toolstack = Toolstack(self.store, folder)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def place(
    xen: FakeXen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connect: Callable[[], object]
) -> Iterator[Place]:
    one = Place(xen, tmp_path / "domains", monkeypatch)
    yield one
    one.proxy.end()


def test_a_domain_is_announced_before_it_runs(place: Place) -> None:
    place.proxy.start()
    assert place.toolstack.create(POD) == NUMBER
    assert place.xl.calls == ["create", "unpause"]
    assert place.files() == ["a.cfg"]
    assert place.proxy.quota == {
        "zone": "a", "device-memory": str(1 << 30), "host-memory": None, "sessions": "3",
    }  # fmt: skip
    (listed,) = domains.pod_domains(place.store)
    assert listed == domains.Domain("a", NUMBER, BACK, 512 << 10, "a", "served", 0)


def test_destroy_leaves_nothing(place: Place, xen: FakeXen) -> None:
    place.proxy.start()
    place.toolstack.create(POD)
    nodes.announce(place.store, nodes.EXEC, NUMBER, BACK, index=5)
    place.toolstack.destroy("a")
    assert place.files() == []
    assert xen.paths() == place.before
    with pytest.raises(DomainMissing, match="no domain 'a'"):
        place.toolstack.destroy("a")


def test_destroy_by_number(place: Place, xen: FakeXen) -> None:
    place.proxy.start()
    place.toolstack.create(POD)
    place.toolstack.destroy(str(NUMBER))
    assert (place.files(), xen.paths()) == ([], place.before)


def test_files_of_a_domain_that_ended_by_itself(place: Place) -> None:
    place.proxy.start()
    place.toolstack.create(POD)
    place.store.remove(f"/local/domain/{NUMBER}")
    place.toolstack.destroy("a")
    assert place.files() == []


def test_a_name_that_is_taken(place: Place) -> None:
    place.proxy.start()
    place.toolstack.create(POD)
    with pytest.raises(DomainError, match="there is a domain 'a' already, number 12"):
        place.toolstack.create(POD)
    assert place.xl.calls == ["create", "unpause"]
    assert place.files() == ["a.cfg"]


def test_xl_refuses(place: Place, xen: FakeXen) -> None:
    place.xl.fails = "create"
    with pytest.raises(ToolFailed, match="xl create failed with 1") as caught:
        place.toolstack.create(POD)
    assert "gnttab" not in str(caught.value)
    with pytest.raises(ToolFailed, match="gnttab_max_frames"):
        place.toolstack.create(replace(POD, grant_frames=4096))
    assert place.xl.calls == ["create", "create"]  # what it did not make is not ours to destroy
    assert (place.files(), xen.paths()) == ([], place.before)


def test_no_gpu_proxy(place: Place, xen: FakeXen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "SERVE_SECONDS", 0.05)
    with pytest.raises(BackEndSilent, match="is gpu-proxy --xen running in domain 0"):
        place.toolstack.create(POD)
    assert place.xl.calls == ["create", "destroy"]
    assert (place.files(), xen.paths()) == ([], place.before)


def test_gpu_proxy_refuses(place: Place, xen: FakeXen) -> None:
    place.proxy.refuses = "zone a is another domain's"
    place.proxy.start()
    with pytest.raises(DomainError, match="gpu-proxy refuses the domain: zone a is another"):
        place.toolstack.create(POD)
    assert (place.files(), xen.paths()) == ([], place.before)


def test_a_guest_that_does_not_connect(
    place: Place, xen: FakeXen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "BOOT_SECONDS", 0.05)
    monkeypatch.setattr(place.xl.running, "set", lambda: None)
    place.proxy.start()
    with pytest.raises(BackEndSilent, match="has not connected to its GPU in 0 s"):
        place.toolstack.create(POD)
    assert (place.files(), xen.paths()) == ([], place.before)


def test_a_guest_that_dies_while_it_boots(place: Place) -> None:
    place.proxy.guest_dies = True
    place.proxy.start()
    with pytest.raises(DomainGone, match="domain a ended while it booted"):
        place.toolstack.create(POD)
    assert place.files() == []


def test_an_interrupt_leaves_nothing(
    place: Place, xen: FakeXen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(life, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place.toolstack.create(POD)
    assert (place.files(), xen.paths()) == ([], place.before)


def test_a_domain_that_gpu_proxys_configuration_names(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gpu-proxy announces it as soon as xl has made it; a quota cannot be given as well."""
    xl = place.xl.__call__

    def create(*words: object) -> str:
        said = xl(*words)
        if words[0] == "create":
            nodes.announce(place.store, nodes.GPU, NUMBER, BACK, {"zone": "configured"})
        return said

    monkeypatch.setattr(life, "xl", create)
    place.proxy.start()
    with pytest.raises(DomainError, match="configuration names domain a: zone and quota"):
        place.toolstack.create(POD)
    assert place.toolstack.create(replace(POD, quota={})) == NUMBER


def test_a_directory_becomes_a_disk(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(tree: Path, out: Path) -> None:
        out.write_text(f"packed {tree}")

    monkeypatch.setattr("gpu_proxy.domain.image.pack", pack)
    place.proxy.start()
    place.toolstack.create(replace(POD, image=tmp_path))
    assert (place.folder / "a.image").read_text() == f"packed {tmp_path}"
    assert f"target={place.folder / 'a.image'}" in place.xl.configuration
    place.toolstack.destroy("a")
    assert place.files() == []
