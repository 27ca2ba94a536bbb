# SPDX-License-Identifier: Apache-2.0
"""A connection to xenstore, against a xenstored that enforces what the real one does."""

from __future__ import annotations

import errno

import pytest
from fake_xen import BACK, FRONT, FakeXen

from idm.errors import StoreError


def test_a_transaction_takes_effect_as_a_whole(xen: FakeXen) -> None:
    one, other = xen.store(BACK), xen.store(BACK)

    def work() -> str:
        one.write("/a/b", "new")
        assert other.read("/a/b") is None
        return "done"

    assert one.transact(work) == "done"
    assert other.read("/a/b") == "new"


def test_a_transaction_that_fails_leaves_nothing(xen: FakeXen) -> None:
    one = xen.store(BACK)

    def work() -> None:
        one.write("/a", "new")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        one.transact(work)
    assert one.read("/a") is None
    one.write("/a", "outside of it")


def test_a_transaction_begins_again_when_others_interfere(xen: FakeXen) -> None:
    one, other = xen.store(BACK), xen.store(BACK)
    seen = []

    def work() -> None:
        seen.append(one.read("/counter"))
        if len(seen) == 1:
            other.write("/counter", "1")
        one.write("/counter", int(seen[-1] or 0) + 1)

    one.transact(work)
    assert (seen, one.read("/counter")) == ([None, "1"], "2")


def test_a_transaction_gives_up_after_many_tries(xen: FakeXen) -> None:
    one, other = xen.store(BACK), xen.store(BACK)

    def work() -> None:
        other.write("/counter", int(other.read("/counter") or 0) + 1)
        one.write("/mine", "never")

    with pytest.raises(StoreError) as caught:
        one.transact(work)
    assert caught.value.errno == errno.EAGAIN
    assert one.read("/mine") is None


def test_a_domain_reads_and_writes_what_is_its_own(xen: FakeXen) -> None:
    toolstack, guest = xen.store(BACK), xen.store(FRONT)
    toolstack.write(f"/local/domain/{FRONT}/device/x", "1")
    toolstack.write(f"/local/domain/{BACK}/secret", "1")
    assert guest.read("device/x") == "1"
    assert guest.read(f"/local/domain/{BACK}/secret") is None
    with pytest.raises(StoreError):
        guest.write("device/x", "2")
    toolstack.set_permissions(f"/local/domain/{FRONT}/device/x", [f"n{FRONT}"])
    guest.write("device/x", "2")


def test_a_watch_reports_what_is_below(xen: FakeXen) -> None:
    one, other = xen.store(BACK), xen.store(BACK)
    one.watch("/a", "token")
    one.read("/a")  # answers come after the events of earlier requests
    assert [event.path for event in one.events()] == ["/a"]
    other.write("/a/b", "1")
    other.write("/c", "1")
    one.read("/a")
    assert [tuple(event) for event in one.events()] == [("/a/b", "token")]
    one.unwatch("/a", "token")
    other.write("/a/b", "2")
    one.read("/a")
    assert one.events() == []
