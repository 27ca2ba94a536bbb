# SPDX-License-Identifier: Apache-2.0
"""Graphs that allocate, on a driver that takes the memory when they are launched."""

from __future__ import annotations

import pytest

from gpu_proxy.account.account import Account
from gpu_proxy.account.holdings import OverQuota
from gpu_proxy.request import CallError

MiB = 1 << 20
GRAPH, OTHER = 0xF0, 0xF1
EXECUTABLE, SECOND = 1, 2


def capture(account: Account, graph: int, amount: int) -> None:
    account.graphs.begin_capture(0, amount)
    account.graphs.end_capture(0, amount, graph)


def test_memory_is_charged_when_the_graph_becomes_executable(account, gpu, ledger) -> None:
    capture(account, GRAPH, 40 * MiB)
    assert ledger.used == 0
    assert account.graphs.claim(EXECUTABLE, GRAPH)
    assert ledger.used == 40 * MiB
    gpu.graph_reserved = gpu.graph_needed = 42 * MiB
    account.graphs.launched(EXECUTABLE)
    assert ledger.used == 42 * MiB
    asked = ledger.questions
    for _ in range(100):
        account.graphs.launched(EXECUTABLE)
    assert ledger.questions == asked


def test_each_executable_graph_has_memory_of_its_own(account, ledger) -> None:
    capture(account, GRAPH, 40 * MiB)
    capture(account, OTHER, 30 * MiB)
    account.graphs.claim(EXECUTABLE, GRAPH)
    account.graphs.claim(SECOND, OTHER)
    assert ledger.used == 70 * MiB
    with pytest.raises(OverQuota):
        account.graphs.claim(3, GRAPH)
    assert ledger.used == 70 * MiB
    account.graphs.executable_gone(SECOND)
    assert ledger.used == 40 * MiB


def test_more_than_there_is_is_refused_at_the_capture(account, ledger) -> None:
    capture(account, GRAPH, 40 * MiB)
    account.graphs.claim(EXECUTABLE, GRAPH)
    with pytest.raises(OverQuota):
        account.graphs.begin_capture(0, 70 * MiB)
    assert ledger.used == 40 * MiB


def test_what_the_driver_keeps_is_trimmed_after_the_graph(account, gpu, ledger) -> None:
    capture(account, GRAPH, 40 * MiB)
    account.graphs.claim(EXECUTABLE, GRAPH)
    gpu.graph_reserved = gpu.graph_needed = 64 * MiB
    account.graphs.launched(EXECUTABLE)
    account.graphs.graph_gone(GRAPH)
    account.graphs.executable_gone(EXECUTABLE)
    assert ledger.used == 64 * MiB
    account.tidy()
    assert ledger.used == 64 * MiB  # A launch is still under way.
    gpu.graph_needed = 0
    assert account.untidy
    account.tidy()
    assert ledger.used == 0
    assert not account.untidy


def test_a_launch_that_takes_more_than_there_is_is_owed(account, gpu, ledger) -> None:
    capture(account, GRAPH, 90 * MiB)
    account.graphs.claim(EXECUTABLE, GRAPH)
    gpu.graph_reserved = gpu.graph_needed = 110 * MiB
    account.graphs.launched(EXECUTABLE)
    assert account.owed == 20 * MiB
    with pytest.raises(OverQuota):
        account.take(("memory", 1), MiB)


def test_a_graph_that_allocates_nothing_costs_nothing(account, gpu) -> None:
    assert not account.graphs.claim(EXECUTABLE, GRAPH)
    account.graphs.launched(EXECUTABLE)
    account.graphs.executable_gone(EXECUTABLE)
    account.graphs.graph_gone(GRAPH)
    assert gpu.calls == []


def test_a_claim_is_not_made_twice_under_one_handle(account, ledger) -> None:
    capture(account, GRAPH, 40 * MiB)
    account.graphs.claim(EXECUTABLE, GRAPH)
    with pytest.raises(CallError):
        account.graphs.claim(EXECUTABLE, GRAPH)
    assert ledger.used == 40 * MiB
