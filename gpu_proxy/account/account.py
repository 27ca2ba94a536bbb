# SPDX-License-Identifier: Apache-2.0
"""The account of one session: everything that takes device memory is charged through it."""

from __future__ import annotations

from collections.abc import Callable

from gpu_proxy.account.contexts import Contexts
from gpu_proxy.account.graphs import Graphs
from gpu_proxy.account.holdings import Holdings, Ledger
from gpu_proxy.account.leaving import Leaving
from gpu_proxy.account.pools import Driver, Pools


class Account(Holdings):
    """Holdings, and those who know what the driver keeps beyond what was asked for."""

    def __init__(
        self,
        ledger: Ledger,
        changed: Callable[[int], None],
        driver: Callable[[], Driver],
        context_bytes: int,
    ) -> None:
        super().__init__(ledger, changed)
        self.pools = Pools(self, driver)
        self.graphs = Graphs(self, driver)
        self.leaving = Leaving(self, driver)
        self.contexts = Contexts(self, context_bytes)

    @property
    def untidy(self) -> bool:
        """Whether the driver keeps what it should give back after the application's next wait."""
        return self.pools.surplus or self.graphs.surplus or bool(self.leaving)

    @property
    def reclaimable(self) -> bool:
        """Whether the driver keeps anything that is not needed."""
        return self.pools.reclaimable or self.graphs.reclaimable or bool(self.leaving)

    def tidy(self) -> None:
        """Have the driver give back what it would after a synchronize."""
        self.leaving.look()
        self.pools.trim(to_threshold=True)
        if self.graphs.surplus:
            self.graphs.trim()

    def reclaim(self) -> None:
        """Have the driver give back all that is not needed: the quota is short."""
        self.leaving.look()
        self.pools.trim(to_threshold=False)
        self.graphs.trim()
