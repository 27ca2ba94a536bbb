# SPDX-License-Identifier: Apache-2.0
"""The nodes of a device: complete when they are seen, made once, and all gone again."""

from __future__ import annotations

import pytest
from fake_xen import BACK, FRONT, FakeXen

from idm.errors import StoreError
from idm.xen import nodes


def test_announced_nodes_belong_to_their_sides(xen: FakeXen) -> None:
    toolstack, guest = xen.store(BACK), xen.store(FRONT)
    assert nodes.announce(toolstack, nodes.GPU, FRONT, BACK, {"zone": "a"})
    front, back = nodes.front_path(FRONT, nodes.GPU), nodes.back_path(BACK, nodes.GPU, FRONT)
    assert guest.read(f"{front}/backend") == back
    assert guest.read(f"{back}/zone") == "a"
    guest.write(f"{front}/generation", "x")
    with pytest.raises(StoreError):
        guest.write(f"{back}/zone", "b")


def test_a_device_is_announced_once(xen: FakeXen) -> None:
    store = xen.store(BACK)
    assert nodes.announce(store, nodes.GPU, FRONT, BACK, {"zone": "a"})
    store.write(f"{nodes.back_path(BACK, nodes.GPU, FRONT)}/state", "4")
    assert not nodes.announce(store, nodes.GPU, FRONT, BACK, {"zone": "b"})
    assert store.read(f"{nodes.back_path(BACK, nodes.GPU, FRONT)}/state") == "4"
    assert store.read(f"{nodes.back_path(BACK, nodes.GPU, FRONT)}/zone") == "a"


def test_a_domain_that_is_gone_gets_no_nodes(xen: FakeXen) -> None:
    before = xen.paths()
    with pytest.raises(StoreError, match="domain 9 is gone"):
        nodes.announce(xen.store(BACK), nodes.EXEC, 9, BACK, index=5)
    assert xen.paths() == before


def test_instances_come_and_go_by_their_index(xen: FakeXen) -> None:
    store, before = xen.store(BACK), xen.paths()
    for index in (3, 70000):
        assert nodes.announce(store, nodes.EXEC, FRONT, BACK, index=index)
    nodes.withdraw(store, nodes.EXEC, FRONT, BACK, 3)
    assert store.children(f"/local/domain/{FRONT}/device/{nodes.EXEC}") == ["70000"]
    assert store.children(f"/local/domain/{BACK}/backend/{nodes.EXEC}/{FRONT}") == ["70000"]
    nodes.withdraw(store, nodes.EXEC, FRONT, BACK, 70000)
    nodes.withdraw(store, nodes.EXEC, FRONT, BACK, 70000)  # once more does no harm
    assert xen.paths() == before


def test_withdrawing_leaves_nothing_of_a_dead_domain(xen: FakeXen) -> None:
    store = xen.store(BACK)
    nodes.announce(store, nodes.EXEC, FRONT, BACK, index=1)
    store.remove(f"/local/domain/{FRONT}")
    nodes.withdraw(store, nodes.EXEC, FRONT, BACK, 1)
    assert not {path for path in xen.paths() if nodes.EXEC in path or f"/{FRONT}" in path}
