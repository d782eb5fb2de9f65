"""Input nobody should send: each piece of it has a clear answer, and none of it is a 500."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.api import app
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.port import StoreError
from tests.support.api import Api, MemoryStore, running_api
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store

__all__ = ["fresh_store"]

NASTY = [
    "",
    "-1",
    "0",
    "1",
    "abc",
    "1e3",
    "NaN",
    "Infinity",
    "-Infinity",
    "9" * 40,
    "1.5",
    " 1",
    "\u0661",
    "null",
    "true",
    "'; DROP TABLE samples; --",
    "' OR '1'='1",
    "{host:String}",
    "$table",
    "<script>alert(1)</script>",
    "%00",
    "\x00",
    "\r\nX: y",
    "🦤",
    "../../etc/passwd",
    "now",
    "now-6h",
    "now-999999999d",
    "2026-13-45T99:99:99Z",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00Z",
    "2099-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00+99:99",
    "cpu.percent",
    "auto",
    "*",
    "a" * 5000,
]
READS = [
    r for r in app.ROUTES if r.method == "GET" and r.path.startswith("/api/") and "stream" not in r.path and r.enveloped
]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as it:
        it.hear(host_sample())
        yield it


def is_envelope(answer: Any) -> bool:
    body = answer.json()
    keys = {"success", "code", "message"} | ({"data"} if answer.status_code == 200 else set())
    return set(body) == keys and body["code"] == answer.status_code and "Traceback" not in answer.text


@pytest.mark.parametrize("route", READS, ids=lambda r: r.path)
async def test_every_parameter_takes_or_refuses_every_nasty_value(api: Api, route: Any) -> None:
    needed = {"metric": "cpu.percent"} if any(p.required for p in route.parameters) else {}
    for parameter in route.parameters:
        for value in NASTY:
            path = f"{route.path}?{urlencode({**needed, parameter.name: value})}"
            answer = await api.ask(path, who="admin", accept_language="en")
            assert answer.status_code in (200, 404, 422), (parameter.name, value, answer.text)
            assert is_envelope(answer)
            if answer.status_code == 422:
                assert re.search(rf"\b{parameter.name}\b", answer.json()["message"]), (parameter.name, value)


@pytest.mark.parametrize(
    ("query", "chinese", "english"),
    [
        ("limit=-1", "参数 limit 必须是 1 到 1000 之间的整数", "Parameter limit must be a whole number from 1 to 1000"),
        (
            "limit=abc",
            "参数 limit 必须是 1 到 1000 之间的整数",
            "Parameter limit must be a whole number from 1 to 1000",
        ),
        (
            "limit=1001",
            "参数 limit 必须是 1 到 1000 之间的整数",
            "Parameter limit must be a whole number from 1 to 1000",
        ),
        (
            "sort_by=name",
            "参数 sort_by 必须是 以下之一: cpu_percent, memory_percent, create_time",
            "Parameter sort_by must be one of cpu_percent, memory_percent, create_time",
        ),
        ("limit=1&limit=2", "参数 limit 只能出现一次", "Parameter limit must be given once only"),
        (
            "limt=5",
            "未知参数 limt, 是否指 limit? 允许的参数: host, at, limit, sort_by",
            "Unknown parameter limt, did you mean limit? Allowed parameters: host, at, limit, sort_by",
        ),
    ],
)
async def test_refusals_name_the_parameter_and_what_is_allowed(
    api: Api, query: str, chinese: str, english: str
) -> None:
    path = f"/api/system/processes/?{query}"
    assert await api.refused(path) == (422, chinese)
    assert await api.refused(path, accept_language="en") == (422, english)


async def test_a_parameter_that_only_defeats_caches_is_let_pass(api: Api) -> None:
    assert (await api.ask("/api/system/cpu/?_=1700000000")).status_code == 200


@pytest.mark.parametrize("at", ["2099-01-01T00:00:00Z", "yesterday", "1800000000000", "2027-01-15 08:00:00"])
async def test_an_at_that_is_no_past_instant_is_refused(api: Api, at: str) -> None:
    status, message = await api.refused(f"/api/system/cpu/?at={at}", accept_language="en")
    assert status == 422
    assert "Parameter at must be an RFC 3339 time" in message


async def test_an_unknown_host_is_404_with_its_name_made_harmless(api: Api) -> None:
    status, message = await api.refused("/api/system/cpu/?host=web-9%0d%0aSet-Cookie:x", accept_language="en")
    assert (status, message) == (404, "Unknown host: web-9??Set-Cookie:x")
    status, message = await api.refused("/api/system/cpu/?host=" + "x" * 256, accept_language="en")
    assert len(message) < 120


async def test_no_host_at_all_is_a_clear_404() -> None:
    async with running_api() as api:
        for route in app.ROUTES:
            if route.fast:
                assert await api.refused(route.path, accept_language="en") == (404, "No host has reported yet")


async def test_a_host_of_which_nothing_is_known_is_a_clear_404(api: Api) -> None:
    api.deps.live.known("old", "old", {}, T0 - 86_400_000)
    for route in app.ROUTES:
        if route.fast:
            status, message = await api.refused(f"{route.path}?host=old", accept_language="en")
            assert status == 404
            assert message.startswith("This host has not reported ")


async def test_hosts_that_share_a_name_must_be_named_by_id(api: Api) -> None:
    api.hear(host_sample(host_id="other", ts=T0 + 5, cpu={"percent": 1.0}))
    status, message = await api.refused("/api/system/cpu/?host=web-1", accept_language="en")
    assert status == 422
    assert "other" in message
    assert (await api.data("/api/system/cpu/?host=other"))["cpu_percent"] == 1.0
    api.clock.advance(600)
    api.hear(host_sample(host_id="other", ts=T0 + 600_000, cpu={"percent": 2.0}))
    assert (await api.data("/api/system/cpu/?host=web-1"))["cpu_percent"] == 2.0, "the other one is silent"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe\x00",
        b'{"kind":"sample"}',
        b"[" * 100_000,
        json.dumps(host_sample(cpu={"percent": 1e9})).encode(),
        json.dumps(host_sample(ts=-1)).encode(),
    ],
    ids=range(8),
)
async def test_garbage_on_the_topic_changes_nothing(api: Api, line: bytes) -> None:
    before = await api.data("/api/system/cpu/")
    api.hear(line + b"\n" + json.dumps(host_sample(ts=T0 + 1, cpu={"percent": 50.0})).encode())
    after = await api.data("/api/system/cpu/")
    assert after == before | {"cpu_percent": 50.0}, "and the line after it counts"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"data": [10, 90, 81], "threshold": 80}, [0, 1, 1]),
        ({"data": [10, 90, 80]}, [0, 1, 0]),
        ({"data": []}, []),
        ({"data": [10.0] * 50 + [100.0], "method": "sigma"}, [0] * 50 + [1]),
        ({"data": [5, 5, 5], "method": "sigma"}, [0, 0, 0]),
        ({"data": [1, 2, 9], "method": "sigma", "threshold": 1}, [0, 0, 1]),
        ({"data": [12.0, 35.5, 97.0], "method": "svm"}, [0, 0, 1]),
        ({"data": [12.0, 35.5, 97.0], "method": "forest", "threshold": 80}, [0, 0, 1]),
        ({"data": [-1e15, 1e15, 0], "method": "svm"}, [0, 1, 0]),
        ({"data": [], "method": "forest"}, []),
    ],
)
async def test_detect_overload(api: Api, body: Any, expected: list[int]) -> None:
    assert await api.data("/api/system/detect_overload/", method="POST", body=body) == {"overload": expected}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"data":[1],"method":"magic"}', 422),
        (b'{"data":[NaN]}', 422),
        (b'{"data":[1e999]}', 422),
        (b'{"data":["1"]}', 422),
        (b'{"data":"1"}', 422),
        (b'{"data":[true]}', 422),
        (b'{"data":null}', 422),
        (b"{}", 422),
        (b"", 422),
        (b"[", 422),
        (b"\xff", 422),
        (b'{"data":[1],"extra":1}', 422),
        (b'{"data":[1],"threshold":"80"}', 422),
        (b"[" * 100_000, 422),
        (b'{"data":[' + b"1," * 100_001 + b"1]}", 422),
        (b'{"data":[' + b"1," * 600_000 + b"1]}", 413),
    ],
    ids=range(16),
)
async def test_detect_overload_refuses_with_a_sentence(api: Api, content: bytes, status: int) -> None:
    answer = await api.http.post(
        "/api/system/detect_overload/", content=content, headers={"Authorization": f"Bearer {api.tokens['viewer']}"}
    )
    assert answer.status_code == status
    assert is_envelope(answer)


async def test_a_body_of_unannounced_length_is_read_no_further_than_allowed(api: Api) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 65_536
            yield b" " * 65_536

    answer = await api.http.post(
        "/api/system/detect_overload/", content=chunks(), headers={"Authorization": f"Bearer {api.tokens['viewer']}"}
    )
    assert answer.status_code == 413
    assert is_envelope(answer)


@pytest.mark.parametrize("failure", [StoreError("away"), StoreError("bad SQL", permanent=True), RuntimeError("boom")])
async def test_accidents_in_the_store_are_503_or_500_without_a_trace(api: Api, failure: Exception) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise failure

    api.store.query = fail  # type: ignore[method-assign]
    expected = 503 if isinstance(failure, StoreError) and not failure.permanent else 500
    for path in (
        "/api/system/cpu/?at=2027-01-15T07:00:00Z",
        "/api/system/history/?metric=cpu.percent",
        "/api/system/anomalies/",
        "/api/system/alerts/",
        "/api/system/logs/",
    ):
        answer = await api.ask(path)
        assert answer.status_code == expected, path
        assert is_envelope(answer)
        assert ("retry-after" in answer.headers) is (expected == 503)
        assert "boom" not in answer.text
        assert "bad SQL" not in answer.text
    assert (await api.ask("/api/system/cpu/")).status_code == 200, "what memory knows is still answered"


async def test_readiness_says_what_is_missing_and_liveness_goes_on(api: Api) -> None:
    api.deps.health.dependencies["store"] = api.deps.queries.trouble
    assert (await api.http.get("/readyz")).status_code == 200
    store = api.store
    assert isinstance(store, MemoryStore)
    store.away = True
    await api.ask("/api/system/anomalies/")
    ready = await api.http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["failures"] == {"store": "the store is away"}
    assert (await api.http.get("/healthz")).status_code == 200


async def test_who_can_be_answered_stays_ready_and_is_told_what_to_see_to(api: Api) -> None:
    api.deps.health.warnings["alerter"] = lambda: "the alerter hears nothing"
    ready = await api.http.get("/readyz")
    body = ready.json()
    assert (ready.status_code, body["status"], body["failures"]) == (200, "warning", {})
    assert body["warnings"] == {"alerter": "the alerter hears nothing"}
    assert 'lapwing_health_trouble{kind="warning",check="alerter"} 1' in (await api.http.get("/metrics")).text


# -- fuzzing, driven by what each route says of its parameters --------------------------------------------------------

TEXT = st.one_of(st.sampled_from(NASTY), st.text(max_size=40), st.integers().map(str), st.floats().map(str))


def queries(route: Any) -> st.SearchStrategy[list[tuple[str, str]]]:
    names = st.one_of(st.sampled_from([p.name for p in route.parameters] or ["x"]), st.text(max_size=8))
    return st.lists(st.tuples(names, TEXT), max_size=5)


CASES = st.sampled_from(READS).flatmap(lambda r: st.tuples(st.just(r), queries(r)))


@given(case=CASES)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_query_is_ever_a_500(case: Any, quick_api: Any) -> None:
    run, api = quick_api
    route, pairs = case
    answer = run(api.ask(f"{route.path}?{urlencode(pairs, errors='replace')}", who="admin"))
    assert answer.status_code in (200, 404, 422), answer.text
    assert is_envelope(answer)


@pytest.fixture
def quick_api() -> Any:
    """Hypothesis is not asynchronous: a loop of its own, for one application."""
    with asyncio.Runner() as runner:
        manager = running_api()
        api = runner.run(manager.__aenter__())
        api.hear(host_sample())
        yield runner.run, api
        runner.run(manager.__aexit__(None, None, None))


async def test_the_real_store_takes_hostile_strings_as_what_they_are(fresh_store: Settings) -> None:
    """What is bound is never read as SQL, and what was stored comes back unharmed."""
    name = '\'; DROP TABLE samples; --\\ "<b>" {x:String} \t$table\u0007🦤'
    store = await open_store(fresh_store, "writer")
    await store.insert_lines("landing_metrics", json.dumps(host_sample(host_id=name, host=name)).encode())
    log = {"event_id": "e'1", "ts": T0, "host_id": name, "host": name, "source": name, "level": "info"}
    await store.insert_lines("landing_logs", json.dumps(log | {"message": f"=cmd|{name}"}).encode())
    await store.close()
    async with running_api(fresh_store) as api:
        api.hear(host_sample(host_id=name, host=name, ts=T0 + 1))
        query = urlencode({"host": name, "at": "2027-01-15T08:00:00Z"})
        for route in app.ROUTES:
            if route.fast:
                await api.data(f"{route.path}?{query}")
        found = await api.data("/api/system/logs/?" + urlencode({"host": name, "source": name, "q": name}))
        assert [i["message"] for i in found["items"]] == [f"=cmd|{name}"]
        csv = await api.ask("/api/system/logs/", accept="text/csv")
        assert csv.headers["content-type"].startswith("text/csv")
        assert ",'=cmd|" in csv.text.replace('"', "")
        series = await api.data("/api/system/history/?" + urlencode({"host": name, "metric": "cpu.percent"}))
        assert series["series"][0]["host_id"] == name
        for value in NASTY:
            for parameter in ("host", "q", "source"):
                path = "/api/system/logs/?" + urlencode({parameter: value})
                assert (await api.ask(path)).status_code in (200, 422), (parameter, value)


async def test_whoever_asks_while_the_service_starts_is_told_to_wait(api: Api) -> None:
    api.deps.ready = False
    for who in ("viewer", None):
        answer = await api.ask("/api/system/cpu/", who=who)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert is_envelope(answer)
    assert (await api.http.get("/healthz")).status_code == 200


async def test_an_event_that_cannot_be_taken_does_not_end_the_listening(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(api.deps.live, "sample", lambda *_: 1 / 0)
        api.hear(host_sample(ts=T0 + 1))
    api.hear(host_sample(ts=T0 + 2, cpu={"percent": 50.0}))
    assert (await api.data("/api/system/cpu/"))["cpu_percent"] == 50.0
