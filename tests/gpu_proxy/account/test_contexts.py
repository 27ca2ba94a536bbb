# SPDX-License-Identifier: Apache-2.0
"""Contexts and the libraries in them, and frees that a stream has not reached."""

from __future__ import annotations

import pytest

from gpu_proxy.account.holdings import OverQuota
from gpu_proxy.request import CallError

MiB = 1 << 20
FIRST, SECOND, LIBRARY = 1, 2, 3


def test_a_library_counts_in_each_context(account, ledger) -> None:
    account.contexts.enter(FIRST)
    account.contexts.load(LIBRARY, 30 * MiB)
    assert ledger.used == 40 * MiB
    account.contexts.enter(SECOND)
    assert ledger.used == 80 * MiB
    account.contexts.leave(FIRST)
    assert ledger.used == 40 * MiB
    account.contexts.unload(LIBRARY)
    assert ledger.used == 10 * MiB
    account.contexts.leave(SECOND)
    assert ledger.used == 0


def test_a_context_whose_libraries_do_not_fit_takes_nothing(account, ledger) -> None:
    account.contexts.load(LIBRARY, 60 * MiB)
    assert ledger.used == 0
    account.contexts.enter(FIRST)
    with pytest.raises(OverQuota):
        account.contexts.enter(SECOND)
    assert ledger.used == 70 * MiB
    account.contexts.leave(FIRST)
    account.contexts.enter(SECOND)
    assert ledger.used == 70 * MiB


def test_handles_in_use_are_refused_and_stay_charged(account, ledger) -> None:
    account.contexts.enter(FIRST)
    account.contexts.load(LIBRARY, MiB)
    for again in (
        lambda: account.contexts.enter(FIRST),
        lambda: account.contexts.load(LIBRARY, 0),
    ):
        with pytest.raises(CallError) as caught:
            again()
        assert caught.value.status == 400
    assert ledger.used == 11 * MiB


def test_memory_is_charged_until_the_stream_has_freed_it(account, gpu, ledger) -> None:
    account.take(("memory", 1), 40 * MiB)
    account.leaving.add(("memory", 1), FIRST, 5, FIRST)
    assert account.untidy
    assert account.reclaimable
    account.tidy()
    assert ledger.used == 40 * MiB
    gpu.events_over = True
    account.tidy()
    assert ledger.used == 0
    assert not account.untidy


def test_the_end_of_a_context_frees_what_waits_in_it(account, ledger) -> None:
    for context in (FIRST, SECOND):
        account.take(("memory", context), MiB)
        account.leaving.add(("memory", context), context, 5, SECOND)
    account.leaving.context_gone(FIRST)
    assert ledger.used == MiB
    account.leaving.context_gone(SECOND)
    assert ledger.used == 0


def test_an_event_is_not_named_after_its_context(account, gpu, ledger) -> None:
    account.take(("memory", 1), MiB)
    account.leaving.add(("memory", 1), FIRST, 5, SECOND)
    account.leaving.context_gone(SECOND)
    gpu.events_over = True
    gpu.calls.clear()
    account.reclaim()
    assert "cuEventQuery" not in gpu.calls
    assert ledger.used == MiB  # It belongs to a context that is still there.


@pytest.mark.parametrize(("stream", "broken"), [(None, False), (5, True)])
def test_a_free_that_nothing_tells_of_is_charged_until_its_context_ends(
    account, gpu, ledger, stream, broken
) -> None:
    account.take(("memory", 1), MiB)
    gpu.broken, gpu.events_over = broken, True
    account.leaving.add(("memory", 1), FIRST, stream, FIRST)
    gpu.broken = False
    account.reclaim()
    assert ledger.used == MiB
    assert not account.untidy
    account.leaving.context_gone(FIRST)
    assert ledger.used == 0
