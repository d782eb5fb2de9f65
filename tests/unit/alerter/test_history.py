"""What a restart reads back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.alerter import history
from services.alerter.history import LATELY_MS, Past, read, recall
from shared.bus.port import Message
from shared.schemas.alert import Alert
from shared.schemas.codec import encode, pack
from tests.unit.alerter.support import alert


class FakeTail:
    def __init__(self, *values: bytes | None) -> None:
        self._values = list(values)
        self.stopped = False

    async def start(self) -> None: ...

    async def messages(self) -> AsyncIterator[Sequence[Message]]:
        while True:
            if not self._values:
                await asyncio.Event().wait()
            yield [Message("lapwing.alerts.v1", 0, 0, b"h1", self._values.pop(0), 0)]

    def lag(self) -> int:
        return len(self._values)

    async def stop(self) -> None:
        self.stopped = True


async def test_the_topic_is_read_to_its_end_and_no_further() -> None:
    tail = FakeTail(
        pack([encode(alert("a", state="pending")), encode(alert("a", ts=1_800_000_060_000))]),
        encode(alert("b", state="pending")),
        b"not json\n" + encode(alert("c")),
        None,
        b'{"kind":"something new"}',
    )
    past = await asyncio.wait_for(recall(tail), 5)
    assert {(a.alert_id, a.state) for a in past.open()} == {("a", "firing"), ("b", "pending"), ("c", "firing")}
    assert tail.stopped


async def test_an_empty_topic_is_an_empty_past() -> None:
    past = await asyncio.wait_for(recall(FakeTail()), 5)
    assert past.open() == []


async def test_what_is_kept_elsewhere_counts_where_the_broker_forgot() -> None:
    async def kept() -> list[Alert]:
        return [alert("a"), alert("b")]

    newer = alert("b", state="resolved", ts=1_800_000_500_000)
    past = await recall(FakeTail(encode(newer)), kept)
    assert [a.alert_id for a in past.open()] == ["a"]


def test_the_newest_word_counts_in_whatever_order() -> None:
    past = Past()
    past.add(alert("a", state="resolved", ts=1_800_000_500_000))
    past.add(alert("a", state="firing"))
    assert past.open() == []


def test_old_ends_are_not_told_any_more() -> None:
    past = Past()
    past.add(alert("old", state="resolved", ts=1_800_000_000_000))
    past.add(alert("new", state="resolved", ts=1_800_000_000_000 + LATELY_MS + 1))
    assert [a.alert_id for a in past.ended_lately()] == ["new"]


def test_a_long_past_fits_into_memory(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(history, "_MOST_ENDED", 100)
    past = Past()
    past.add(alert("open"))
    for i in range(1000):
        past.add(alert(f"a{i}", state="resolved", ts=1_800_000_100_000 + i))
    assert len(past._alerts) <= 201
    assert [a.alert_id for a in past.open()] == ["open"]


def test_lines_that_cannot_be_read_cost_only_themselves() -> None:
    assert [e.event_id for e in read(b"{}\n" + encode(alert("a")) + b"\n\xff\n")] == ["a:firing"]
