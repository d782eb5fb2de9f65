"""A batch whose handler fails: again, or never?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import repeat

import pytest

from shared.bus import stream
from shared.bus.port import BusError, Message
from shared.store.port import StoreError

BATCH = [Message("lapwing.metrics.v1", 0, 7, b"h", b"{}", 1)]

AWAY = BusError("the broker is away")
FULL = StoreError("too many parts")
WRONG = StoreError("no such table", permanent=True)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "backoff", lambda: repeat(0.0))


class Handler:
    """Fails with these, in order, then takes the batch."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.given: list[Sequence[Message]] = []

    async def __call__(self, batch: Sequence[Message]) -> None:
        self.given.append(batch)
        if self.failures:
            raise self.failures.pop(0)


@pytest.mark.parametrize(
    "failure",
    [AWAY, FULL, ConnectionResetError(), TimeoutError(), OSError("disk full"), ExceptionGroup("", [AWAY, FULL]),
     ExceptionGroup("", [ExceptionGroup("", [AWAY])])],
)  # fmt: skip
async def test_a_temporary_failure_brings_the_same_batch_again(failure: Exception) -> None:
    handler = Handler(failure, failure, failure)
    await stream._until_handled(handler, BATCH)
    assert handler.given == [BATCH] * 4


@pytest.mark.parametrize(
    "failure",
    [WRONG, ValueError("a bug"), KeyError("x"), ExceptionGroup("", [AWAY, WRONG]), ExceptionGroup("", [KeyError()])],
)
async def test_a_permanent_one_or_a_bug_ends_it(failure: Exception) -> None:
    handler = Handler(failure)
    with pytest.raises(type(failure)):
        await stream._until_handled(handler, BATCH)
    assert len(handler.given) == 1


async def test_a_stop_in_the_middle_is_not_taken_for_a_failure() -> None:
    async def never(batch: Sequence[Message]) -> None:
        await asyncio.Event().wait()

    waiting = asyncio.create_task(stream._until_handled(never, BATCH))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
