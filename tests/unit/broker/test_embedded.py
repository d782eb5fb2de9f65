"""The embedded broker's own manners; what it promises as a broker is in ``tests/contract/test_bus.py``."""

from __future__ import annotations

import re

import pytest

from shared.broker.embedded import BrokerError, EmbeddedBroker
from shared.schemas.topics import METRICS


async def test_it_listens_on_loopback_only_and_can_be_stopped_twice() -> None:
    broker = EmbeddedBroker([METRICS])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", broker.address)
    await broker.start()
    await broker.stop()
    await broker.stop()


async def test_used_after_its_end_it_says_so() -> None:
    broker = EmbeddedBroker([METRICS])
    broker.close()
    with pytest.raises(BrokerError, match="what it held is gone"):
        await broker.start()
    for use in (broker.interrupt, broker.resume, lambda: broker.create_topic("x", 1)):
        with pytest.raises(BrokerError, match="was stopped"):
            use()


def test_a_topic_is_made_once() -> None:
    broker = EmbeddedBroker([METRICS])
    try:
        with pytest.raises(BrokerError, match=r"refused to create the topic lapwing\.metrics\.v1"):
            broker.create_topic(METRICS.name, 1)
    finally:
        broker.close()
