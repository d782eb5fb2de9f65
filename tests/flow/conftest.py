"""What most flows need: a broker, and somebody who receives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.broker.embedded import EmbeddedBroker
from tests.support.broker import embedded_broker
from tests.support.receivers import Webhooks, webhook_receiver


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with embedded_broker() as broker:
        yield broker


@pytest.fixture
def hooks() -> Iterator[Webhooks]:
    with webhook_receiver() as hooks:
        yield hooks
