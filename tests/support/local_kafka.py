"""A real Apache Kafka for tests: where it cannot be had, skip at a desk and fail in CI."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from typing import TypeVar

import pytest

from shared.broker.embedded import BrokerError
from shared.broker.jars import cache_dir, kafka_jars
from shared.broker.java import find_java
from shared.broker.local import LocalKafka

T = TypeVar("T")

SHORT_SESSIONS = {"group.min.session.timeout.ms": "500"}


@pytest.fixture(scope="session")
def kafka_at_hand() -> None:
    """Java and jars are there from here on, fetched if need be."""
    try:
        find_java()
        kafka_jars(cache_dir())
    except BrokerError as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        pytest.skip(f"no Apache Kafka: {error}")


def _running(kafka_at_hand: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    kafka = LocalKafka(tmp_path_factory.mktemp("kafka"), properties=SHORT_SESSIONS)
    try:
        now(kafka.start())
        yield kafka
    finally:
        now(kafka.stop())


local_kafka = pytest.fixture(scope="session")(_running)
"""One for all tests of this run: use topics and groups of your own."""
own_kafka = pytest.fixture(scope="module")(_running)
"""One for the tests of a file, which use the product's own topics, and gone with them."""


def now(work: Coroutine[object, object, T]) -> T:
    """On this thread, which outlives the tests, and without touching the loop that pytest-asyncio minds."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
