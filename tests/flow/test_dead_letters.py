"""Dead letters from end to end: refused, listed, and after a fix sent again and stored once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.ingest import gate
from services.ingest.dead_letters import DeadLetters, tell_open
from shared.bus.kafka import publisher
from shared.bus.port import BusError, Receipt
from shared.runtime import selfmetrics
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.schemas.topics import LOGS, METRICS, Topic
from shared.store.port import Store
from tests.flow.test_ingest_road import (
    HOST,
    clock,
    encoded,
    ingesting,
    line,
    send,
    settings,
    store,
    until_stored,
)
from tests.support.api import Api, running_api
from tests.support.samples import T0
from tests.support.store import fresh_store
from tests.support.waiting import eventually

__all__ = ["clock", "fresh_store", "settings", "store"]

PATH = "/api/system/dead_letters/"


@pytest.fixture
async def api(settings: Settings, clock: ManualClock) -> AsyncIterator[Api]:
    async with running_api(settings, clock=clock) as it:
        yield it


async def listed(api: Api, query: str = "") -> Any:
    return await api.data(f"{PATH}{query}", who="admin")


async def until_letters(api: Api, count: int, query: str = "") -> list[Any]:
    async def there() -> bool:
        found = (await listed(api, query))["items"]
        assert len(found) >= count, [letter["reason"] for letter in found]
        return True

    await eventually(there, that=f"{count} dead letters")
    found: list[Any] = (await listed(api, query))["items"]
    assert len(found) == count
    return found


async def retry(api: Api, **wish: Any) -> Any:
    return await api.data(f"{PATH}retry/", who="admin", method="POST", body=wish)


async def drop(api: Api, **wish: Any) -> Any:
    return await api.data(f"{PATH}drop/", who="admin", method="POST", body=wish)


async def test_an_event_of_the_future_is_stored_once_when_its_time_has_come(
    settings: Settings, store: Store, clock: ManualClock, api: Api
) -> None:
    async with ingesting(settings, clock):
        await send(settings, METRICS, line(3600), line(0))
        (letter,) = await until_letters(api, 1)
        assert (letter["stage"], letter["host_id"], letter["topic"]) == ("time", HOST, METRICS.name)
        await until_stored(store, 1)

        # Too early: refused once more, as a letter that names the first.
        assert await retry(api, ids=[letter["id"]]) == {"matched": 1, "settled": 1, "hopeless": 0, "left": 0}

        async def refused_again() -> Any:
            return [r for r in (await listed(api))["items"] if r["retry_of"] == letter["id"]]

        (second,) = await eventually(refused_again)

        clock.advance(3600)
        assert (await retry(api, stage=["time"], dry_run=True))["settled"] == 1
        assert (await retry(api, stage=["time"]))["settled"] == 1
        await until_stored(store, 2)
        assert (await listed(api))["items"] == []
        assert await retry(api, stage=["time"]) == {"matched": 0, "settled": 0, "hopeless": 0, "left": 0}
        settled = await listed(api, "?state=retried")
    assert {r["id"] for r in settled["items"]} == {letter["id"], second["id"]}
    assert {r["settled_by"] for r in settled["items"]} == {"admin"}
    assert await store.query("SELECT count() FROM samples FINAL WHERE ts = toDateTime64({t:Int64}, 3)",
                             {"t": (T0 + 3_600_000) // 1000}) == [(1,)]  # fmt: skip


async def test_a_kind_that_a_later_version_knows_is_stored_after_the_upgrade(
    settings: Settings, store: Store, clock: ManualClock, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.ingest import service

    event = {
        "kind": "log", "event_id": "l1", "ts": T0, "host_id": HOST, "host": "web-1", "source": "sshd",
        "message": "hello",
    }  # fmt: skip
    without_logs = [r if r.topic is not LOGS else _as_if_metrics_only(r) for r in service.ROUTES]
    with monkeypatch.context() as older:
        older.setattr(service, "ROUTES", without_logs)
        async with ingesting(settings, clock):
            await send(settings, LOGS, encoded(event))
            (letter,) = await until_letters(api, 1)
            assert letter["reason"].startswith("kind: ")
    async with ingesting(settings, clock):
        assert (await retry(api, topic=[LOGS.name]))["settled"] == 1
        await until_stored(store, 1, "logs")


def _as_if_metrics_only(route: Any) -> Any:
    from dataclasses import replace

    from shared.schemas.sample import HostSample

    return replace(route, models=(HostSample,))


async def test_letters_outlive_the_broker_and_a_repeat_does_not_reopen_them(
    settings: Settings, store: Store, clock: ManualClock, api: Api
) -> None:
    async with ingesting(settings, clock):
        await send(settings, METRICS, b"garbage", b"more garbage")
        first, second = await until_letters(api, 2)
    letter = gate.DeadLetter(_message(first, b"garbage" if first["bytes"] == 7 else b"more garbage"), *_line(first))
    assert letter.id == first["id"]
    assert await drop(api, ids=[first["id"]]) == {"matched": 1, "settled": 1, "hopeless": 0, "left": 0}
    clock.advance(86_400)  # and so in another partition of the table
    api.tokens["admin"] = await api.login("admin")
    out = publisher(settings.kafka, "test")
    await out.start()
    await DeadLetters(out, store, clock).send(METRICS, [letter])
    await out.stop()
    assert [r["id"] for r in (await listed(api))["items"]] == [second["id"]]
    await tell_open(store, [METRICS, LOGS])
    assert selfmetrics.INGEST_DEAD_LETTERS_OPEN.value(METRICS.name) == 1
    assert selfmetrics.INGEST_DEAD_LETTERS_OPEN.value(LOGS.name) == 0
    assert await store.query("SELECT state, count() FROM v_dead_letters GROUP BY state ORDER BY state") == [
        ("dropped", 1),
        ("open", 1),
    ]


def _message(shape: Any, value: bytes) -> Any:
    from datetime import datetime

    from shared.bus.port import Message

    sent = round(datetime.fromisoformat(shape["sent_at"]).timestamp() * 1000)
    return Message(shape["topic"], shape["partition"], shape["offset"], shape["host_id"].encode(), value, sent)


def _line(shape: Any) -> tuple[bytes, int, Any, str]:
    return (b"garbage" if shape["bytes"] == 7 else b"more garbage"), shape["line"], shape["stage"], shape["reason"]


async def test_they_are_counted_filtered_and_shown_as_they_came(
    settings: Settings, store: Store, clock: ManualClock, api: Api
) -> None:
    poison = b'\x00\xff {"not": json'
    async with ingesting(settings, clock):
        await send(settings, METRICS, line(0), poison, line(86_400))
        await send(settings, LOGS, b"[]", key="another")
        await until_letters(api, 3)
    counts = {(c["topic"], c["stage"], c["host_id"]): c["letters"] for c in (await listed(api))["counts"]}
    assert counts == {
        (METRICS.name, "decode", HOST): 1,
        (METRICS.name, "time", HOST): 1,
        (LOGS.name, "decode", "another"): 1,
    }

    async def origins(query: str) -> set[tuple[str, str]]:
        return {(r["topic"], r["stage"]) for r in (await listed(api, query))["items"]}

    assert await origins(f"?topic={LOGS.name}") == {(LOGS.name, "decode")}
    assert await origins("?stage=time") == {(METRICS.name, "time")}
    assert await origins("?reason=IN%20THE%20FUTURE") == {(METRICS.name, "time")}
    assert await origins("?host=web-1&stage=decode") == {(METRICS.name, "decode")}, "a host's name will do"
    assert await origins(f"?host={HOST}&stage=decode") == {(METRICS.name, "decode")}
    later = f"?since={clock.now_ms() + 1}"
    assert await origins(later) == set()
    (letter,) = (await listed(api, f"?topic={METRICS.name}&stage=decode"))["items"]
    for name in (letter["id"], "{topic}:{partition}:{offset}".format(**letter)):
        shown = await api.data(f"{PATH}{name}/", who="admin")
        assert shown["value_base64"] == "AP8geyJub3QiOiBqc29u"
        assert shown["value"].endswith('{"not": json')
    assert (await api.refused(f"{PATH}0000000000000000/", who="admin"))[0] == 404


async def test_a_line_that_was_cut_or_is_empty_cannot_be_sent_again_and_that_is_said(
    settings: Settings, store: Store, clock: ManualClock, api: Api
) -> None:
    async with ingesting(settings, clock):
        await send(settings, METRICS, b"x" * 300_000, b"", b"garbage")
        letters = await until_letters(api, 3)
        assert sorted((r["bytes"], r["truncated"]) for r in letters) == [(0, False), (7, False), (300_000, True)]
        assert await retry(api, topic=[METRICS.name], dry_run=True) == {
            "matched": 3,
            "settled": 1,
            "hopeless": 2,
            "left": 0,
        }
        assert await retry(api, topic=[METRICS.name], limit=1) == {
            "matched": 3,
            "settled": 1,
            "hopeless": 2,
            "left": 0,
        }
    assert await drop(api, topic=[METRICS.name], dry_run=True) == await drop(api, topic=[METRICS.name])
    assert (await listed(api))["items"] == []


async def test_what_the_broker_does_not_take_stays_open(
    settings: Settings, store: Store, clock: ManualClock, api: Api
) -> None:
    class Deaf:
        """Takes one, and then nothing."""

        taken = 0

        async def start(self) -> None: ...
        async def stop(self) -> None: ...

        async def publish(self, topic: Topic, *_: Any) -> Receipt:
            if self.taken:
                raise BusError("the broker is away")
            self.taken += 1
            return Receipt(topic.name, 0, 0)

    async with ingesting(settings, clock):
        await send(settings, METRICS, *(f"garbage {n}".encode() for n in range(3)))
        await until_letters(api, 3)
    api.deps.dead_letters._make_publisher = lambda _: Deaf()  # type: ignore[assignment,return-value]
    code, message = await api.refused(
        f"{PATH}retry/", who="admin", method="POST", body={"stage": ["decode"]}, accept_language="en"
    )
    assert (code, message) == (503, "The broker did not take it: the broker is away")
    assert len((await listed(api))["items"]) == 2
    assert len((await listed(api, "?state=retried"))["items"]) == 1


async def test_only_admins_may_and_everything_at_once_must_be_asked_for(api: Api) -> None:
    for who in ("viewer", "operator"):
        assert (await api.refused(PATH, who=who))[0] == 403
        assert (await api.refused(f"{PATH}drop/", who=who, method="POST", body={"stage": ["time"]}))[0] == 403
    for action in ("drop", "retry"):
        code, message = await api.refused(f"{PATH}{action}/", who="admin", method="POST", body={}, accept_language="en")
        assert code == 422 and "give ids or at least one of" in message


POISON = {
    "empty": b"",
    "binary garbage": bytes(range(256)).replace(b"\n", b""),
    "truncated JSON": line(1)[:200],
    "another kind": line(2).replace(b'"kind": "sample"', b'"kind": "weather"'),
    "a schema of the future": line(3).replace(b'"schema_version": 1', b'"schema_version": 99'),
    "a huge line": b'{"kind": "sample", "x": "' + b"x" * 1_000_000 + b'"}',
    "deep nesting": b'{"x":' + b"[" * 100_000,
    "NaN": line(4).replace(b"23.4", b"NaN"),
    "Infinity": line(5).replace(b"23.4", b"-Infinity"),
    "wrong types": line(6, cpu="busy"),
    "a future time": line(86_400 * 30),
    "an ancient time": line(-86_400 * 4000),
    "invalid UTF-8": line(7).replace(b"web-1", b"web-\xff\xfe"),
    "a list": b"[1, 2, 3]",
    "no object at all": b"42",
    "minus zero": line(8).replace(b'"seq": 8', b'"seq": -0'),
}


async def test_every_kind_of_poison_costs_only_itself(
    settings: Settings, store: Store, clock: ManualClock, api: Api
) -> None:
    """A good event before and after each; and a tombstone, and a message without a key."""
    good = 0
    values: list[bytes] = []
    for value in POISON.values():
        values += [line(100 + good), value]
        good += 1
    async with ingesting(settings, clock):
        await send(settings, METRICS, *values)
        out = publisher(settings.kafka, "test")
        await out.start()
        await out.publish(METRICS, HOST, None)  # a tombstone
        await out.publish(METRICS, "", b"garbage without a key")
        await out.publish(METRICS, "", line(100 + good))
        await out.stop()
        await until_stored(store, good + 1)
        letters = await until_letters(api, len(POISON) + 2)
    assert all(letter["reason"] for letter in letters)
    by_value = {
        (await api.data(f"{PATH}{letter['id']}/", who="admin"))["value_base64"]: letter for letter in letters
    }  # the two empty ones are one
    assert len(by_value) == len(POISON) + 1
    for name, fitting in FITTING.items():
        assert fitting in by_value[_base64(POISON[name])]["reason"], name
    assert {letter["stage"] for letter in letters} == {"decode", "time", "store"}


FITTING = {
    "empty": "the message is empty",
    "binary garbage": "JSON",
    "truncated JSON": "JSON",
    "another kind": "kind",
    "a schema of the future": "schema_version",
    "NaN": "cpu.percent: Input should be a finite number",
    "deep nesting": "recursion",
    "invalid UTF-8": "unicode",
    "wrong types": "cpu",
    "a future time": "in the future",
    "an ancient time": "older than what is kept",
}


def _base64(value: bytes) -> str:
    import base64

    return base64.b64encode(value[:262_144]).decode()
