"""Dead letters: where they came from and why, within what a broker takes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.ingest.dead_letters import MAX_KEPT_BYTES, DeadLetter, DeadLetters
from shared.bus.port import BusError, Message, Receipt
from shared.runtime.clock import ManualClock
from shared.schemas.topics import METRICS, Topic


class Outbox:
    def __init__(self, fail_at: int | None = None) -> None:
        self.sent: list[tuple[str, str, bytes | None, Mapping[str, bytes]]] = []
        self.fail_at = fail_at

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        if len(self.sent) == self.fail_at:
            raise BusError("the broker is away")
        self.sent.append((topic.name, key, value, headers or {}))
        return Receipt(topic.name, 0, len(self.sent) - 1)


def letter(line: bytes = b"{}", key: bytes | None = b"host-1", reason: str = "ts: Field required") -> DeadLetter:
    return DeadLetter(Message(METRICS.name, 2, 41, key, line, 1_700_000_000_000), line, 3, "decode", reason)


async def test_a_dead_letter_says_what_why_where_and_when() -> None:
    outbox = Outbox()
    await DeadLetters(outbox, ManualClock(1_800_000_000_000)).send(METRICS, [letter()])
    assert outbox.sent == [
        (
            "lapwing.metrics.v1.dlq",
            "host-1",
            b"{}",
            {
                "reason": b"ts: Field required",
                "stage": b"decode",
                "topic": b"lapwing.metrics.v1",
                "partition": b"2",
                "offset": b"41",
                "line": b"3",
                "timestamp": b"1700000000000",
                "failed_at": b"1800000000000",
                "host": b"host-1",
            },
        )
    ]


async def test_what_is_too_large_for_a_topic_is_cut_and_says_so() -> None:
    outbox = Outbox()
    await DeadLetters(outbox, ManualClock()).send(METRICS, [letter(b"x" * (100 << 20), reason="r" * 10_000)])
    ((_, _, value, headers),) = outbox.sent
    assert value == b"x" * MAX_KEPT_BYTES
    assert headers["truncated_from"] == str(100 << 20).encode()
    assert len(headers["reason"]) == 1000


@pytest.mark.parametrize("key", [None, b"\xff\xfe", b"k" * 10_000])
async def test_any_key_will_do(key: bytes | None) -> None:
    outbox = Outbox()
    await DeadLetters(outbox, ManualClock()).send(METRICS, [letter(key=key)])
    assert len(outbox.sent) == 1


async def test_a_broker_that_is_away_is_reported_so_that_the_batch_comes_again() -> None:
    with pytest.raises(BusError, match="away") as away:
        await DeadLetters(Outbox(fail_at=1), ManualClock()).send(METRICS, [letter(), letter(), letter()])
    assert not away.value.permanent
