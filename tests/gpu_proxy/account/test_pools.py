# SPDX-License-Identifier: Apache-2.0
"""Pools are charged for what they reserve, and trimmed where an application would have waited."""

from __future__ import annotations

import pytest

from gpu_proxy.account.holdings import OverQuota
from gpu_proxy.account.pools import TRIES

MiB = 1 << 20
POOL = 0xA0


def allocate(account, gpu, amount: int, pool: int = POOL) -> None:
    one = account.pools.of(pool)
    account.pools.begin(one, amount)
    gpu.allocate(pool, amount)
    account.pools.took(one)


def free(account, gpu, amount: int, pool: int = POOL) -> None:
    gpu.free(pool, amount)
    account.pools.freed(account.pools.of(pool), amount)


def test_a_small_allocation_is_charged_for_what_the_driver_reserves(account, gpu, ledger) -> None:
    allocate(account, gpu, 4)
    assert ledger.used == 32 * MiB
    allocate(account, gpu, 10 * MiB)
    assert ledger.used == 32 * MiB


def test_memory_that_is_had_again_is_no_question(account, gpu, ledger) -> None:
    allocate(account, gpu, 20 * MiB)
    asked = ledger.questions
    for _ in range(100):
        free(account, gpu, 20 * MiB)
        allocate(account, gpu, 20 * MiB)
    assert ledger.questions == asked


def test_more_than_there_is_is_refused_before_the_driver_is_asked(account, gpu, ledger) -> None:
    with pytest.raises(OverQuota):
        account.pools.begin(account.pools.of(POOL), 101 * MiB)
    assert gpu.calls == []
    allocate(account, gpu, 60 * MiB)
    assert ledger.used == 64 * MiB


def test_what_the_driver_reserves_beyond_the_quota_is_refused_after(account, gpu, ledger) -> None:
    ledger.limit = 40 * MiB
    one = account.pools.of(POOL)
    account.pools.begin(one, 33 * MiB)
    gpu.allocate(POOL, 33 * MiB)
    with pytest.raises(OverQuota):
        account.pools.took(one)
    gpu.free(POOL, 33 * MiB)
    account.pools.freed(one, 33 * MiB)
    assert account.owed == 64 * MiB - ledger.used
    account.reclaim()
    assert (ledger.used, account.owed) == (0, 0)


def test_what_a_pool_keeps_is_given_back_after_a_wait(account, gpu, ledger) -> None:
    allocate(account, gpu, 60 * MiB)
    free(account, gpu, 60 * MiB)
    assert ledger.used == 64 * MiB
    assert account.untidy
    account.tidy()
    assert ledger.used == 0
    assert not account.untidy


def test_a_threshold_is_kept_over_a_wait_and_not_over_a_shortage(account, gpu, ledger) -> None:
    account.pools.set_threshold(POOL, 40 * MiB)
    allocate(account, gpu, 60 * MiB)
    free(account, gpu, 60 * MiB)
    account.tidy()
    assert ledger.used == 40 * MiB
    assert not account.untidy
    assert account.reclaimable
    account.reclaim()
    assert ledger.used == 0


def test_what_cannot_be_trimmed_is_not_tried_for_ever(account, gpu) -> None:
    allocate(account, gpu, 4)
    allocate(account, gpu, 4)
    free(account, gpu, 4)
    for _ in range(TRIES):
        assert account.untidy
        account.tidy()
    assert not account.untidy


def test_a_pool_that_was_destroyed_counts_until_its_last_allocation_is_freed(
    account, gpu, ledger
) -> None:
    allocate(account, gpu, 10 * MiB)
    allocate(account, gpu, 5 * MiB)
    one = account.pools.of(POOL)
    account.pools.destroyed(POOL)
    assert ledger.used == 15 * MiB
    account.pools.freed(one, 10 * MiB)
    assert ledger.used == 5 * MiB
    # The driver may give its name to another pool.
    gpu.needed, gpu.reserved = {}, {}
    allocate(account, gpu, 1)
    assert ledger.used == 37 * MiB
    account.pools.freed(one, 5 * MiB)
    assert ledger.used == 32 * MiB


def test_a_pool_that_has_gone_with_a_context_counts_no_more(account, gpu, ledger) -> None:
    allocate(account, gpu, 10 * MiB)
    gpu.reserved.clear()
    account.pools.freed(account.pools.of(POOL), 10 * MiB)
    assert ledger.used == 0


def test_a_driver_that_fails_gives_nothing_back(account, gpu, ledger) -> None:
    allocate(account, gpu, 10 * MiB)
    gpu.broken = True
    free(account, gpu, 10 * MiB)
    account.reclaim()
    assert ledger.used == 32 * MiB
