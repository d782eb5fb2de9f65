"""``POST /api/ingest/``: who may, how much, what is answered, and what has reached the broker by then."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cramjam
import httpx
import pytest

from services.api import intake
from shared.broker.embedded import EmbeddedBroker
from shared.bus.kafka import publisher, tail
from shared.bus.port import BusError, Message, Receipt
from shared.runtime.settings import Settings
from shared.schemas.topics import LOGS, METRICS, Topic
from tests.support.api import PASSWORD, Api, MemoryStore, running_api
from tests.support.broker import embedded_broker, settings_for
from tests.support.samples import T0, host_sample
from tests.support.waiting import eventually

HOST = host_sample()["host_id"]
LOG = {"kind": "log", "event_id": "l", "ts": T0, "host_id": HOST, "host": "web-1", "source": "x", "message": "m"}


class Bus:
    """Takes everything, or refuses; remembers."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, list[bytes], dict[str, bytes]]] = []
        self.error: BusError | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        if self.error:
            raise self.error
        assert value is not None
        self.sent.append((topic.name, key, value.split(b"\n"), dict(headers or {})))
        return Receipt(topic.name, 0, len(self.sent) - 1)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
async def api(bus: Bus) -> AsyncIterator[Api]:
    async with running_api() as it:
        it.deps.intake.open(bus)
        yield it


async def token(api: Api, scopes: list[str] | None = None, **more: Any) -> str:
    body = {"name": "agent", "scopes": scopes or ["ingest"], **more}
    created = await api.data("/api/auth/tokens/", who="admin", method="POST", body=body)
    return str(created["token"])


def lines(*events: Any) -> bytes:
    return b"".join((e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n" for e in events)


async def post(api: Api, who: str, body: Any, **headers: str) -> httpx.Response:
    sent = {k.replace("_", "-"): v for k, v in headers.items()} | {"Authorization": f"Bearer {who}"}
    return await api.http.post("/api/ingest/", content=body, headers=sent)


async def test_good_lines_are_accepted_and_bad_ones_told_by_number(api: Api, bus: Bus) -> None:
    good = host_sample()
    answer = await post(api, await token(api), lines(good, b"rubbish", host_sample(cpu={"percent": -1.0}), LOG))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["success"], body["code"], body["message"]) == (True, 200, "操作成功")
    assert body["data"]["accepted"] == 2
    assert body["data"]["rejected_count"] == 2
    assert [r["line"] for r in body["data"]["rejected"]] == [2, 3]
    assert "cpu.percent" in body["data"]["rejected"][1]["reason"]
    assert sorted(bus.sent) == [
        (LOGS.name, HOST, [json.dumps(LOG).encode()], {}),
        (METRICS.name, HOST, [json.dumps(good).encode()], {}),
    ]


@pytest.mark.parametrize(
    ("encoding", "pack"), [("zstd", cramjam.zstd.compress), ("gzip", gzip.compress), ("identity", bytes), ("", bytes)]
)
async def test_bodies_may_be_packed(api: Api, bus: Bus, encoding: str, pack: Any) -> None:
    headers = {"content_encoding": encoding} if encoding else {}
    answer = await post(api, await token(api), bytes(pack(lines(host_sample()))), **headers)
    assert answer.json()["data"]["accepted"] == 1
    assert len(bus.sent) == 1


async def test_what_waited_in_a_spool_is_marked_for_the_readers(api: Api, bus: Bus) -> None:
    await post(api, await token(api), lines(host_sample()), lapwing_spooled="1")
    assert bus.sent[0][3] == {"lapwing-spooled": b"1"}


async def test_a_login_is_never_enough(api: Api, bus: Bus) -> None:
    for who in ("viewer", "operator", "admin"):
        answer = await post(api, api.tokens[who], lines(host_sample()))
        assert answer.status_code == 403, who
    login = {"username": "admin", "password": PASSWORD, "cookie": True}
    await api.http.post("/api/auth/login/", json=login)
    csrf = (await api.http.get("/api/auth/me/")).json()["data"]["csrf_token"]
    answer = await api.http.post("/api/ingest/", content=lines(host_sample()), headers={"X-CSRF-Token": csrf})
    assert answer.status_code == 403
    assert bus.sent == []


async def test_a_token_needs_the_scope(api: Api, bus: Bus) -> None:
    answer = await post(api, await token(api, ["read", "act", "admin"]), lines(host_sample()))
    assert answer.status_code == 403
    assert "ingest" in answer.json()["message"]
    answer = await api.http.post("/api/ingest/", content=lines(host_sample()))
    assert answer.json() == {"success": False, "code": 401, "message": "未授权访问"}
    assert bus.sent == []


async def test_a_revoked_token_is_nobodys(api: Api, bus: Bus) -> None:
    who = await token(api)
    assert (await post(api, who, lines(host_sample()))).status_code == 200
    await api.data(f"/api/auth/tokens/{who.split('_')[1]}/", who="admin", method="DELETE")
    assert (await post(api, who, lines(host_sample()))).status_code == 401
    assert len(bus.sent) == 1


async def test_a_token_made_for_a_host_is_for_that_host_only(api: Api, bus: Bus) -> None:
    who = await token(api, host=HOST)
    assert (await post(api, who, lines(host_sample()))).status_code == 200
    answer = await post(api, who, lines(host_sample(), host_sample(host_id="another")), accept_language="en")
    assert answer.status_code == 403
    assert answer.json()["message"] == f"This token is for events of host {HOST} only, not for those of another"
    assert len(bus.sent) == 1, "not even its own events of that batch"
    listed = await api.data("/api/auth/tokens/", who="admin")
    assert [(t["scopes"], t["host"]) for t in listed] == [(["ingest"], HOST)]


@pytest.mark.parametrize("scopes", [["read"], ["ingest", "read"]])
async def test_only_a_token_for_ingest_alone_can_be_made_for_a_host(api: Api, scopes: list[str]) -> None:
    body = {"name": "agent", "scopes": scopes, "host": HOST}
    code, message = await api.refused("/api/auth/tokens/", who="admin", method="POST", body=body)
    assert code == 422
    assert "host" in message


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 422),
        (b"\n \n\r\n", {}, 422),
        (b"x", {"content_encoding": "br"}, 415),
        (b"x", {"content_encoding": "zstd"}, 400),
        (gzip.compress(b"x" * 1000, mtime=0)[:-4], {"content_encoding": "gzip"}, 400),
        (gzip.compress(b"\n" * (64 << 20), mtime=0), {"content_encoding": "gzip"}, 413),
        (bytes(cramjam.zstd.compress(b"\n" * (64 << 20))), {"content_encoding": "zstd"}, 413),
        (b"\n" * ((16 << 20) + 1), {}, 413),
    ],
)
async def test_a_body_that_is_no_batch_is_refused_whole(
    api: Api, bus: Bus, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await post(api, await token(api), body, **headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"success", "code", "message"}
    assert bus.sent == []


async def test_a_body_of_unannounced_length_is_bounded_too(api: Api) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"\n" * (1 << 20)

    assert (await post(api, await token(api), endless())).status_code == 413


async def test_batches_may_be_larger_than_other_bodies(api: Api, bus: Bus) -> None:
    body = lines(*(host_sample(ts=T0 + n) for n in range(500)))
    assert len(body) > api.deps.settings.api.max_body_bytes
    assert (await post(api, await token(api), body)).json()["data"]["accepted"] == 500
    assert [json.loads(line)["ts"] for sent in bus.sent for line in sent[2]] == [T0 + n for n in range(500)]


async def test_a_token_that_posts_too_much_is_told_when_to_go_on(bus: Bus) -> None:
    settings = Settings.model_validate({"api": {"ingest_events_per_second": 1}})
    async with running_api(settings, store=MemoryStore()) as api:
        api.deps.intake.open(bus)
        one, another = await token(api), await token(api)
        batch = lines(*(host_sample(ts=T0 - n) for n in range(50)))
        assert (await post(api, one, batch)).status_code == 200
        answer = await post(api, one, batch)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "40")
        assert "40" in answer.json()["message"]
        assert (await post(api, another, batch)).status_code == 200
        api.clock.advance(40)
        assert (await post(api, one, batch)).status_code == 200


async def test_bodies_that_cannot_be_read_count_as_well(bus: Bus) -> None:
    settings = Settings.model_validate({"api": {"ingest_events_per_second": 1}})
    async with running_api(settings, store=MemoryStore()) as api:
        api.deps.intake.open(bus)
        who = await token(api)
        assert (await post(api, who, b"x", content_encoding="zstd")).status_code == 400
        assert (await post(api, who, b"x", content_encoding="zstd")).status_code == 429


@pytest.mark.parametrize(("permanent", "seconds"), [(False, "2"), (True, "30")])
async def test_while_the_broker_is_away_nothing_is_acknowledged(
    api: Api, bus: Bus, permanent: bool, seconds: str
) -> None:
    who = await token(api)
    bus.error = BusError("nobody there", permanent=permanent)
    batch = lines(*(host_sample(ts=T0 - n) for n in range(9000)))
    answer = await post(api, who, batch[: 8 << 20].rpartition(b"\n")[0])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, seconds)
    bus.error = None
    for _ in range(3):  # what failed was not counted against the token
        assert (await post(api, who, lines(host_sample()))).status_code == 200


async def test_before_there_is_a_bus_it_is_503() -> None:
    async with running_api() as api:
        assert (await post(api, await token(api), lines(host_sample()))).status_code == 503


async def test_with_a_broker_that_forgets_the_answer_waits_for_the_store(api: Api, bus: Bus) -> None:
    asked: list[Receipt] = []
    stored: set[Receipt] = set()

    def is_stored(receipt: Receipt) -> bool:
        asked.append(receipt)
        return receipt in stored

    api.deps.intake.open(bus, is_stored)
    who = await token(api)
    posting = asyncio.create_task(post(api, who, lines(host_sample(), host_sample(host_id="another"))))
    await eventually(lambda: len(set(asked)) == 2)
    first, second = sorted(set(asked), key=lambda r: r.offset)
    stored.add(first)
    before = len(asked)
    await eventually(lambda: asked[before:].count(second) > 2)
    assert not posting.done()
    stored.add(second)
    assert (await posting).status_code == 200


async def test_no_more_is_published_than_a_broker_that_forgets_keeps_until_it_is_read(
    api: Api, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[Receipt] = set()
    monkeypatch.setattr(intake, "MOST_UNREAD", 1)
    api.deps.intake.open(bus, lambda receipt: True, read.__contains__)
    who = await token(api)
    batch = lines(host_sample(), host_sample(host_id="another"), host_sample(host_id="a-third"))
    posting = asyncio.create_task(post(api, who, batch))
    for published in (1, 2, 3):
        await eventually(lambda: len(bus.sent) == published)  # noqa: B023 - asked at once
        assert not posting.done() or published == 3
        read.add(Receipt(METRICS.name, 0, published - 1))
    assert (await posting).status_code == 200

    api.deps.intake.open(bus, lambda receipt: True, lambda receipt: False, stored_within=0.1)
    answer = await post(api, who, batch)
    assert (answer.status_code, len(bus.sent)) == (503, 4)


async def test_a_store_that_collects_is_asked_not_to_once_it_has_the_events(
    api: Api, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that posts takes no answer in two seconds for a broker that is away; a batch may be five in coming."""
    monkeypatch.setattr(intake, "HASTEN_EVERY", 0.1)
    stored: set[Receipt] = set()
    read: set[Receipt] = set()
    looks: list[Receipt] = []

    def is_read(receipt: Receipt) -> bool:
        looks.append(receipt)
        return receipt in read

    def hasten() -> None:
        assert read, "nothing to hasten before"
        stored.update(read)

    api.deps.intake.open(bus, stored.__contains__, is_read, hasten)
    posting = asyncio.create_task(post(api, await token(api), lines(host_sample())))
    await eventually(lambda: len(looks) > 2)
    read.add(looks[0])
    assert (await posting).status_code == 200


async def test_a_store_that_takes_too_long_is_503(api: Api, bus: Bus) -> None:
    api.deps.intake.open(bus, lambda receipt: False, stored_within=0.1)
    answer = await post(api, await token(api), lines(host_sample()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


# -- with a real broker ------------------------------------------------------------------------------------------------


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with embedded_broker() as it:
        yield it


@asynccontextmanager
async def on_the_bus(settings: Settings) -> AsyncIterator[Api]:
    bus = publisher(settings.kafka, "test-api", timeout=3)
    async with running_api(settings, store=MemoryStore()) as api:
        await bus.start()
        api.deps.intake.open(bus)
        try:
            yield api
        finally:
            await bus.stop()


async def test_what_was_acknowledged_is_on_the_topic(broker: EmbeddedBroker, tmp_path: Path) -> None:
    settings = settings_for(broker.address, tmp_path)
    sent: dict[str, list[bytes]] = {"h-0": [], "h-1": [], "h-2": []}
    async with on_the_bus(settings) as api:
        who = await token(api)
        for n in range(30):
            batch = [json.dumps(host_sample(host_id=f"h-{m % 3}", ts=T0 - 60 * n - m)).encode() for m in range(60)]
            for m, line in enumerate(batch):
                sent[f"h-{m % 3}"].append(line)
            body = bytes(cramjam.zstd.compress(lines(*batch)))
            answer = await post(api, who, body, content_encoding="zstd", lapwing_spooled="1")
            assert answer.json()["data"]["accepted"] == 60, answer.text
    found: list[Message] = []
    reader = tail(settings.kafka, [METRICS], "test-reader")
    await reader.start()
    try:
        async for some in reader.messages():
            found += some
            if sum(m.value.count(b"\n") + 1 for m in found if m.value) >= 1800:
                break
    finally:
        await reader.stop()
    for host, expected in sent.items():
        ours = [m for m in found if m.key == host.encode()]
        assert [line for m in ours for line in (m.value or b"").split(b"\n")] == expected
        assert all(m.headers == {"lapwing-spooled": b"1"} for m in ours)


async def test_a_broker_that_is_gone_is_503(tmp_path: Path) -> None:
    with embedded_broker() as first:
        gone = first.address
    async with on_the_bus(settings_for(gone, tmp_path)) as api:
        answer = await post(api, await token(api), lines(host_sample()))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
