"""When a consumer asks a broker inside this process: when its bell was rung (``shared.bus.bell``)."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.bus.bell import UNRUNG_SECONDS, Ear

ASKED_WAIT_MS = 1
"""Who asks because there is something need not wait for it."""
LOOK_SECONDS = UNRUNG_SECONDS
"""How often a fetcher that nothing has woken looks at its partitions; five times a second unless told."""


def fetch_when_rung(consumer: AIOKafkaConsumer, ear: Ear) -> None:
    """From now on the started ``consumer`` fetches when there is something new, and until it has all of it."""
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request

    async def fetch_then(assignment: Any, node_id: Any, request: Any) -> Any:
        if not _behind(assignment, request):
            try:
                await ear.rung()
            except asyncio.CancelledError:
                return False  # closing, or of no interest any more: as the fetch itself answers it
        return await fetch(assignment, node_id, request)

    fetcher._fetch_max_wait_ms = ASKED_WAIT_MS
    fetcher._fetcher_timeout = LOOK_SECONDS
    fetcher._proc_fetch_request = fetch_then


def _behind(assignment: Any, request: Any) -> bool:
    """Whether the last answers said that there is more, or there were none yet."""
    for topic, partitions in request.topics:
        for partition, offset, _ in partitions:
            end = assignment.state_value(TopicPartition(topic, partition)).highwater
            if end is None or end > offset:
                return True
    return False
