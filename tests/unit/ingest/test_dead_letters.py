"""Dead letters: where they came from and why, within what a broker takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.ingest.dead_letters import COLUMNS, MAX_KEPT_BYTES, TABLE, DeadLetter, DeadLetters
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


class Shelf:
    """A store that only keeps rows."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    async def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        assert table == TABLE
        self.rows += [dict(zip(columns, row, strict=True)) for row in rows]


def dead_letters(outbox: Outbox, clock: ManualClock, shelf: Shelf | None = None) -> DeadLetters:
    return DeadLetters(outbox, shelf or Shelf(), clock)  # type: ignore[arg-type]


def letter(line: bytes = b"{}", key: bytes | None = b"host-1", reason: str = "ts: Field required") -> DeadLetter:
    return DeadLetter(Message(METRICS.name, 2, 41, key, line, 1_700_000_000_000), line, 3, "decode", reason)


async def test_a_dead_letter_says_what_why_where_and_when() -> None:
    outbox = Outbox()
    await dead_letters(outbox, ManualClock(1_800_000_000_000)).send(METRICS, [letter()])
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
    await dead_letters(outbox, ManualClock()).send(METRICS, [letter(b"x" * (100 << 20), reason="r" * 10_000)])
    ((_, _, value, headers),) = outbox.sent
    assert value == b"x" * MAX_KEPT_BYTES
    assert headers["truncated_from"] == str(100 << 20).encode()
    assert len(headers["reason"]) == 1000


@pytest.mark.parametrize("key", [None, b"\xff\xfe", b"k" * 10_000])
async def test_any_key_will_do(key: bytes | None) -> None:
    outbox = Outbox()
    await dead_letters(outbox, ManualClock()).send(METRICS, [letter(key=key)])
    assert len(outbox.sent) == 1


async def test_a_broker_that_is_away_is_reported_so_that_the_batch_comes_again() -> None:
    with pytest.raises(BusError, match="away") as away:
        await dead_letters(Outbox(fail_at=1), ManualClock()).send(METRICS, [letter(), letter(), letter()])
    assert not away.value.permanent


async def test_it_is_kept_in_the_store_as_it_came() -> None:
    shelf = Shelf()
    bad = letter(b"\x00\xff garbage")
    await dead_letters(Outbox(), ManualClock(1_800_000_000_000), shelf).send(METRICS, [bad])
    (row,) = shelf.rows
    assert tuple(row) == COLUMNS
    assert (row["topic"], row["partition"], row["offset"], row["line"]) == (METRICS.name, 2, 41, 3)
    assert (row["value"], row["bytes"], row["state"], row["id"]) == (b"\x00\xff garbage", 10, "open", bad.id)
    assert row["failed_at"].timestamp() == 1_800_000_000


def test_the_same_message_read_again_is_the_same_letter_and_another_is_not() -> None:
    one = letter()
    assert one.id == letter(reason="in other words").id and len(one.id) == 16
    others = [
        replace(one, number=4),
        replace(one, line=b"{ }"),
        replace(one, message=replace(one.message, offset=42)),
        # As after a topic was deleted and made anew, or with a broker that forgets.
        replace(one, message=replace(one.message, timestamp_ms=1_700_000_000_001)),
    ]
    assert len({one.id, *(other.id for other in others)}) == 5


def test_a_retry_that_is_refused_again_says_whose_it_was() -> None:
    first = letter()
    again = replace(first, message=replace(first.message, headers={"retry_of": first.id.encode()}))
    assert again.headers(0)["retry_of"] == first.id.encode()
    assert dict(zip(COLUMNS, again.row(0), strict=True))["retry_of"] == first.id


@pytest.mark.parametrize("timestamp", [-1, 0, 1 << 62])
def test_a_message_of_any_time_can_be_kept(timestamp: int) -> None:
    assert replace(letter(), message=replace(letter().message, timestamp_ms=timestamp)).row(0)
