# SPDX-License-Identifier: Apache-2.0
"""The zone's agent and its channel to gpu-proxy, over grants in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_xen import BACK, FRONT, SECONDS, STEP_SECONDS, FakeXen, wait_until

from gpu_proxy.xen.back_channel import BackChannel
from idm.xen import messages, nodes
from idm.xen.agent.__main__ import Agent
from idm.xen.agent.image_root import ImageRoot


class Back:
    """One incarnation of gpu-proxy, as far as the channel goes."""

    def __init__(self, xen: FakeXen) -> None:
        self.store = xen.store(BACK)
        self.channel = BackChannel(self.store, nodes.GPU, FRONT, BACK, lambda reason: None)
        self.channel.start()

    def step(self) -> None:
        if self.store.events():
            self.channel.look(lambda: True)
        self.channel.transfer()


@pytest.fixture
def agent(xen: FakeXen, tmp_path: Path) -> Iterator[Agent]:
    nodes.announce(xen.store(BACK), nodes.GPU, FRONT, BACK)
    one = Agent(xen.store(FRONT), tmp_path / "proxy.sock", 1000, ImageRoot(""))
    yield one
    one._gpu.close()
    listeners = [k.fileobj for k in one._selector.get_map().values() if k.fd != k.fileobj]
    for listener in listeners:
        listener.close()
    one._selector.close()


def connect(agent: Agent, back: Back) -> None:
    wait_until(
        lambda: agent._gpu.channel.connected and back.channel.connected,
        lambda: agent.step(STEP_SECONDS),
        back.step,
    )


def test_events_wake_the_agent_after_gpu_proxy_has_begun_again(agent: Agent, xen: FakeXen) -> None:
    """The new channel's file has the number of the old one: the loop must not take it for that."""
    connect(agent, Back(xen))
    old = agent._gpu.channel.events.fd
    again = Back(xen)  # seen at once: nobody has said that the first one has gone
    wait_until(lambda: agent._gpu.channel._seen == again.channel._generation,
               lambda: agent.step(STEP_SECONDS))  # fmt: skip
    connect(agent, again)
    assert agent._gpu.channel.events.fd == old
    again.channel.send(messages.HUNG_UP, 1)
    again.channel.transfer()
    assert old in {key.fd for key, _ in agent._selector.select(SECONDS)}


def test_nodes_may_come_after_the_agent(xen: FakeXen, agent: Agent) -> None:
    store = xen.store(BACK)
    nodes.withdraw(store, nodes.GPU, FRONT, BACK)
    agent.step(STEP_SECONDS)
    nodes.announce(store, nodes.GPU, FRONT, BACK)
    connect(agent, Back(xen))
