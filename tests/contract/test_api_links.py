"""Links from messages: a look changes nothing, one press of the button does it, once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.alerting.links import link_secret, sign
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.port import Store
from tests.support.alerting import alert, put
from tests.support.api import Api, running_api
from tests.support.samples import T0
from tests.support.store import fresh_store
from tests.support.wire import Wire, wire

__all__ = ["fresh_store", "wire"]

HOUR = 3_600_000
EVIL = '"><script>alert(1)</script>\r\n{x}'


@pytest.fixture
async def writer(fresh_store: Settings) -> AsyncIterator[Store]:
    store = await open_store(fresh_store, "writer")
    await put(store, alert(host=EVIL, summary=f"disk is full on {EVIL}"))
    yield store
    await store.close()


@pytest.fixture
async def api(fresh_store: Settings, writer: Store) -> AsyncIterator[Api]:
    async with running_api(fresh_store) as it:
        yield it


def link(
    api: Api, action: Any, *, anomaly: str | None = None, ends: int = T0 + HOUR, nonce: str = "n1", of: str = "l1"
) -> str:
    return f"/a/{sign(link_secret(api.deps.settings), action, of, anomaly, ends, nonce)}"


async def look(api: Api, path: str, **headers: str) -> httpx.Response:
    return await api.ask(path, who=None, accept_language="en", **headers)


async def press(api: Api, path: str) -> httpx.Response:
    return await api.ask(path, who=None, method="POST", accept_language="en")


async def test_a_look_says_what_will_be_done_and_does_nothing(api: Api, wire: Wire) -> None:
    path = link(api, "ack")
    for method in ("GET", "GET", "HEAD"):
        page = await api.ask(path, who=None, method=method, accept_language="en")
        assert page.status_code == 200
    page = await look(api, path)
    assert "Acknowledge this alert" in page.text and '<form method="post">' in page.text
    assert "<script>alert" not in page.text and "&lt;script&gt;" in page.text
    assert (await api.ask(path, who=None)).text.startswith('<!doctype html><html lang="zh">')
    assert wire.told == []


async def test_the_page_may_run_its_own_script_and_nothing_else(api: Api, wire: Wire) -> None:
    page = await look(api, link(api, "ack"))
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", "no-store")
    assert not re.search(r"https?://|src=|href=", page.text), "it fetches nothing"


async def test_an_acknowledgement_is_made_once(api: Api, wire: Wire) -> None:
    path = link(api, "ack")
    first, second = await asyncio.gather(press(api, path), press(api, path))
    assert {"Done" in page.text for page in (first, second)} == {True, False}
    assert [key for key, _ in wire.told] == ["ack:l1", "link:n1"]
    ack, used = (event for _, event in wire.told)
    assert (ack["author"], ack["severity"], ack["value"]) == ("link", "critical", 99.0)
    assert (used["action"], used["expires_at"]) == ("ack", T0 + HOUR)
    for again in (await press(api, path), await look(api, path)):
        assert again.status_code == 200 and "used already" in again.text and "<form" not in again.text
    assert len(wire.told) == 2
    assert "This was normal" in (await look(api, link(api, "normal", nonce="n2"))).text, "another link is another"


async def test_a_silence_is_of_this_rule_on_this_host_for_an_hour(api: Api, wire: Wire) -> None:
    assert "Done" in (await press(api, link(api, "silence"))).text
    (silence,) = await api.data("/api/system/silences/")
    assert {m["name"]: m["value"] for m in silence["matchers"]} == {
        "alertname": "disk_full", "host": EVIL, "host_id": "h1",
    }  # fmt: skip
    assert (silence["starts_at"], silence["ends_at"]) == ("2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z")


async def test_was_normal_is_feedback_on_the_anomaly(api: Api, writer: Store, wire: Wire) -> None:
    contribution = {"metric": "cpu.percent", "labels": {}, "share": 1.0, "value": 99.0, "expected_low": 1.0}
    row = {
        "kind": "anomaly", "event_id": "e", "ts": T0, "anomaly_id": "a1", "host_id": "h1", "host": "web-1",
        "state": "open", "finding": "cpu_overload", "severity": "warning", "score": 2.0, "peak_score": 2.0,
        "started_at": T0, "contributions": json.dumps([contribution | {"expected_high": 20.0}]),
    }  # fmt: skip
    await writer.insert_lines("landing_anomalies", json.dumps(row).encode())
    assert "Done" in (await press(api, link(api, "normal", anomaly="a1"))).text
    key, event = wire.told[0]
    assert (key, event["verdict"], event["author"]) == ("feedback:a1", "normal", "link")
    assert event["metrics"] == [{"metric": "cpu.percent", "labels": {}, "low": 1.0, "high": 99.0}]
    missing = await press(api, link(api, "normal", anomaly="a404", nonce="n2"))
    assert missing.status_code == 404 and len(wire.told) == 2


async def test_one_that_is_too_old_says_so(api: Api, wire: Wire) -> None:
    path = link(api, "ack")
    api.clock.advance(3600)
    for page in (await look(api, path), await press(api, path)):
        assert page.status_code == 410 and "too old" in page.text and "<form" not in page.text
    assert wire.told == []


async def test_what_is_over_need_not_be_acknowledged(api: Api, writer: Store, wire: Wire) -> None:
    await put(writer, alert(ts=T0 + 1, state="resolved", ended_at=T0 + 1))
    page = await press(api, link(api, "ack"))
    assert page.status_code == 200 and "over" in page.text
    assert wire.told == []


async def test_what_is_not_ours_is_nothing(api: Api, wire: Wire) -> None:
    good = link(api, "ack")
    tampered = [
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good.replace(".", ".A"),
        good[:20],
        "/a/" + sign("another secret of some length", "ack", "l1", None, T0 + HOUR, "n1"),
        "/a/x", "/a/%00", "/a/%3Cscript%3E", "/a/" + "A" * 5000, "/a/.", "/a/é",
        link(api, "ack", of="nobody's"), link(api, "drop tables"),
    ]  # fmt: skip
    for path in tampered:
        for page in (await look(api, path), await press(api, path)):
            assert page.status_code in (404, 405), path
            assert "<script>alert" not in page.text and "Traceback" not in page.text
    assert wire.told == []
    assert (await look(api, good + "/")).status_code == 200


async def test_while_the_bus_is_away_nothing_is_used_up(api: Api, wire: Wire) -> None:
    path = link(api, "ack")
    wire.away = True
    page = await press(api, path)
    assert page.status_code == 503 and "retry-after" in page.headers and "<form" not in page.text
    wire.away = False
    assert "Done" in (await press(api, path)).text


async def test_links_that_were_used_are_forgotten_once_they_are_too_old(api: Api, wire: Wire) -> None:
    await press(api, link(api, "ack", ends=T0 + 60_000))
    api.clock.advance(120)
    await press(api, link(api, "ack", nonce="n2"))
    assert ("link:n1", None) in wire.told
    assert await api.deps.decisions.of("link:n2")


async def test_the_log_of_requests_gives_no_link_away(api: Api, wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="services.api.access"):
        await look(api, link(api, "ack"))
    assert [r.path for r in caplog.records if r.name == "services.api.access"] == ["/a/..."]  # type: ignore[attr-defined]
