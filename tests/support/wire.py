"""The control topic as the API writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from shared.bus.port import BusError, Receipt
from shared.schemas.topics import CONTROL, Topic
from tests.support.api import Api


class Wire:
    """A bus that can be away. ``then`` is called with every key and event."""

    def __init__(self) -> None:
        self.away = False
        self.told: list[tuple[str, Any]] = []
        self.then: Callable[[str, Any], None] = lambda key, event: None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        if self.away:
            raise BusError("the broker is away")
        assert topic == CONTROL
        event = value and json.loads(value)
        self.told.append((key, event))
        self.then(key, event)
        return Receipt(topic.name, 0, len(self.told))


@pytest.fixture
def wire(api: Api) -> Wire:
    """What the API of the test tells."""
    wire = Wire()
    api.deps.decisions.open(wire)
    return wire
