"""When a broker inside the process is asked: at the start, while there is more, and when the bell was rung."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher as aiokafkas
from aiokafka.consumer.subscription_state import SubscriptionState

from shared.bus.bell import Bell
from shared.bus.fetching import LOOK_SECONDS, fetch_when_rung

REQUEST = SimpleNamespace(topics=[("a", [(0, 5, 100), (1, 7, 100)])])


class Fetcher:
    """Stands for aiokafka's, which sends a request and takes the answer in."""

    def __init__(self) -> None:
        self.asked = 0
        self._fetch_max_wait_ms = 500

    async def _proc_fetch_request(self, assignment: Any, node_id: Any, request: Any) -> bool:
        self.asked += 1
        return True


def assigned(**ends: int | None) -> Any:
    known = {TopicPartition("a", int(name[1:])): SimpleNamespace(highwater=end) for name, end in ends.items()}
    return SimpleNamespace(state_value=known.__getitem__)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def fetcher(bell: Bell) -> Fetcher:
    it = Fetcher()
    fetch_when_rung(SimpleNamespace(_fetcher=it), bell.ear(["a"]))
    return it


async def ask(fetcher: Fetcher, assignment: Any) -> asyncio.Task[bool]:
    asking = asyncio.create_task(fetcher._proc_fetch_request(assignment, 1, REQUEST))
    await asyncio.sleep(0.01)
    return asking


@pytest.mark.parametrize("ends", [{"p0": None, "p1": 7}, {"p0": 5, "p1": 8}])
async def test_who_does_not_have_everything_asks_at_once(fetcher: Fetcher, ends: dict[str, int | None]) -> None:
    assert await fetcher._proc_fetch_request(assigned(**ends), 1, REQUEST)
    assert fetcher.asked == 1


async def test_who_has_everything_asks_when_the_bell_rings(fetcher: Fetcher, bell: Bell) -> None:
    asking = await ask(fetcher, assigned(p0=5, p1=7))
    assert not fetcher.asked
    bell.ring("a")
    assert await asking
    assert fetcher.asked == 1


async def test_a_fetch_that_is_called_off_while_it_waits_has_found_nothing(fetcher: Fetcher) -> None:
    asking = await ask(fetcher, assigned(p0=5, p1=7))
    asking.cancel()
    assert await asking is False, "as aiokafka's own answers it"
    assert not fetcher.asked


async def test_aiokafkas_own_fetcher_seldom_looks_by_itself(bell: Bell) -> None:
    fetcher = aiokafkas.Fetcher(AIOKafkaClient(), SubscriptionState())
    try:
        fetch_when_rung(SimpleNamespace(_fetcher=fetcher), bell.ear(["a"]))
        *_, until_it_looks, _, _ = fetcher._get_actions_per_node(SimpleNamespace(tps=[]))
        assert until_it_looks == LOOK_SECONDS
    finally:
        await fetcher.close()
