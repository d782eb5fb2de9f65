"""Anomalies, alerts and logs page by page: nothing twice, nothing missed, whatever arrives meanwhile."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from services.api.paging import Cursor
from shared.runtime.settings import Settings
from shared.store.port import Store
from tests.support.api import Api, running_api
from tests.support.samples import T0
from tests.support.store import fresh_store, writer

__all__ = ["fresh_store", "writer"]


@pytest.fixture
async def api(fresh_store: Settings, writer: Store) -> AsyncIterator[Api]:
    async with running_api(fresh_store) as it:
        it.clock.advance(3600)
        yield it


def anomaly(number: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "anomaly",
        "event_id": f"e{number}",
        "ts": T0 + number * 1000,
        "anomaly_id": f"a{number:04}",
        "host_id": "h1",
        "host": "web-1",
        "state": "open",
        "finding": "unusual",
        "severity": "warning",
        "score": 1.5,
        "peak_score": 1.5 + number % 7,
        "started_at": T0 + number // 3 * 1000,  # three of each instant
        **more,
    }


def log(number: int, **more: Any) -> dict[str, Any]:
    line = {"event_id": f"l{number:04}", "ts": T0 + number // 3 * 1000, "host_id": "h1", "host": "web-1"}
    return line | {"source": "nginx", "level": "info", "message": f"line {number}"} | more


async def put(store: Store, table: str, rows: list[dict[str, Any]]) -> None:
    await store.insert_lines(table, "\n".join(json.dumps(r) for r in rows).encode())


async def walk(api: Api, path: str, between: Any = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await api.data(f"{path}&limit=7{cursor}")
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        assert len(page["items"]) == 7
        cursor = f"&cursor={page['next_cursor']}"
        if between:
            await between()


@pytest.mark.parametrize("sort", ["-started_at", "started_at", "-peak_score", "peak_score"])
async def test_every_anomaly_comes_once_and_in_order(api: Api, writer: Store, sort: str) -> None:
    rows = [anomaly(i) for i in range(60)]
    await put(writer, "landing_anomalies", rows)
    await put(writer, "landing_anomalies", rows[:30])
    found = await walk(api, f"/api/system/anomalies/?sort={sort}")
    assert len(found) == 60
    assert len({f["id"] for f in found}) == 60
    keys = [(f[sort.lstrip("-")], f["id"]) for f in found]
    assert keys == sorted(keys, reverse=sort.startswith("-"))


async def test_pages_stay_put_while_new_rows_arrive_and_old_ones_change(api: Api, writer: Store) -> None:
    await put(writer, "landing_anomalies", [anomaly(i) for i in range(40)])
    number = 1000

    async def meanwhile() -> None:
        nonlocal number
        number += 1
        closed = anomaly(number % 40, state="close", ts=T0 + 10_000_000 + number, ended_at=T0 + 90_000)
        await put(writer, "landing_anomalies", [anomaly(number), closed])

    found = await walk(api, "/api/system/anomalies/?sort=-started_at", meanwhile)
    ids = [f["id"] for f in found]
    assert len(ids) == len(set(ids))
    assert {f"a{i:04}" for i in range(40)} <= set(ids)


async def test_logs_page_filter_and_search(api: Api, writer: Store) -> None:
    await put(
        writer,
        "landing_logs",
        [log(i) for i in range(30)]
        + [log(100, level="error", message="Upstream TIMED out", host_id="h2", host="db-1", source="app")],
    )
    walked = [i["message"] for i in await walk(api, "/api/system/logs/?host=web-1")]
    assert (len(walked), walked[0]) == (30, "line 29")
    for query in ("q=timed", "level=error", "host=db-1", "host=h2", "source=app", "level=error&level=critical"):
        (found,) = (await api.data(f"/api/system/logs/?{query}"))["items"]
        assert found["message"] == "Upstream TIMED out"
    # q is text, not a pattern
    for pattern in ("%", "_", ".*", "line [0-9]"):
        assert (await api.data(f"/api/system/logs/?q={quote(pattern)}"))["items"] == []
    api.clock.advance(2 * 86_400)
    api.tokens["viewer"] = await api.login("viewer")
    assert (await api.data("/api/system/logs/"))["items"] == [], "the last day, unless asked for more"
    assert len((await api.data("/api/system/logs/?from=now-3d"))["items"]) == 31


async def test_a_time_range_finds_what_overlaps_it(api: Api, writer: Store) -> None:
    await put(
        writer,
        "landing_anomalies",
        [
            anomaly(1, started_at=T0, ended_at=T0 + 60_000, state="close"),
            anomaly(2, started_at=T0 + 30_000),
            anomaly(3, started_at=T0 + 120_000, ended_at=T0 + 130_000, state="close"),
        ],
    )

    async def ids(query: str) -> list[str]:
        return sorted(i["id"] for i in (await api.data(f"/api/system/anomalies/?{query}"))["items"])

    assert await ids(f"from={T0 + 50_000}&to={T0 + 100_000}") == ["a0001", "a0002"]
    assert await ids(f"from={T0 + 70_000}&to={T0 + 100_000}") == ["a0002"], "what is open lasts until now"
    assert await ids(f"from={T0 + 125_000}") == ["a0002", "a0003"]
    assert await ids("state=close") == ["a0001", "a0003"]


async def test_csv_is_whole_and_harmless_to_a_spreadsheet(api: Api, writer: Store) -> None:
    evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", 'quote " comma , line\nbreak']
    await put(writer, "landing_logs", [log(i, message=m) for i, m in enumerate(evil)])
    answer = await api.ask("/api/system/logs/?sort=ts&limit=3", accept="text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="logs.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    link = answer.headers["link"]
    assert link.endswith('; rel="next"')
    while link:
        answer = await api.ask(link[1 : link.index(">")], accept="text/csv")
        rows += csv.DictReader(io.StringIO(answer.text))
        link = answer.headers.get("link", "")
    assert [r["message"] for r in rows] == [*(f"'{m}" for m in evil[:6]), evil[6]]
    assert rows[0]["ts"] == "2027-01-15T08:00:00Z"


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%00",
        "e30",
        "W10",
        Cursor("-peak_score", 1.0, "a").written(),
        Cursor("-started_at", 1e300, "a").written(),
        "a" * 2049,
        "🦤",
    ],
)
async def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    async with running_api() as api:
        status, message = await api.refused(f"/api/system/anomalies/?cursor={cursor}", accept_language="en")
        assert status == 422
        assert "Parameter cursor" in message


def alert(number: int, state: str) -> dict[str, Any]:
    return {
        "kind": "alert",
        "event_id": f"e{number}",
        "ts": T0 + number * 1000,
        "alert_id": f"a{number:04}",
        "fingerprint": "f",
        "host_id": "h1",
        "host": "web-1",
        "rule": "cpu_busy",
        "state": state,
        "previous_state": "pending",
        "severity": "warning",
        "started_at": T0 + number * 1000,
    }


async def test_what_never_became_an_alert_is_listed_on_demand_only(api: Api, writer: Store) -> None:
    events = [alert(1, "inactive"), alert(2, "firing"), alert(3, "resolved")]
    await writer.insert_lines("landing_alerts", "\n".join(map(json.dumps, events)).encode())

    usual = (await api.data("/api/system/alerts/"))["items"]
    assert [a["state"] for a in usual] == ["resolved", "firing"]
    assert [a["id"] for a in (await api.data("/api/system/alerts/?state=inactive"))["items"]] == ["a0001"]
