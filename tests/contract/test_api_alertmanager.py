"""Alertmanager's API, spoken to by hand and by Debian's amtool."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from services.api.server import Server
from shared.runtime.settings import Settings
from shared.runtime.times import instant
from shared.store.clickhouse import open_store
from tests.contract.test_api_hostile import NASTY
from tests.support.alerting import alert, attention, put, setup
from tests.support.alertmanager import AMTOOL, alertmanager_at_hand
from tests.support.api import PASSWORD, Api, running_api
from tests.support.samples import T0
from tests.support.store import fresh_store
from tests.support.wire import Wire

__all__ = ["alertmanager_at_hand", "fresh_store"]

HOUR = 3_600_000
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
SILENCE: dict[str, Any] = {
    "matchers": [{"name": "host", "value": "web-.*", "isRegex": True, "isEqual": True}],
    "startsAt": "2027-01-15T08:00:00.000Z",
    "endsAt": "2027-01-15T10:00:00.000Z",
    "createdBy": "ada",
    "comment": "moving the racks",
}


@pytest.fixture
async def api(fresh_store: Settings) -> AsyncIterator[Api]:
    """Three alerts fire, one of them is silenced and one inhibited; one is over."""
    store = await open_store(fresh_store, "writer")
    await put(store, *(alert(name) for name in ("plain", "hidden", "lower", "mine")))
    await put(store, alert("over", state="resolved", ended_at=T0))
    await put(
        store,
        attention("hidden", "suppressed", by=["silence:s1"]),
        attention("lower", "suppressed", by=["alert:plain"]),
        attention("mine", "acknowledged"),
    )
    await store.close()
    async with running_api(fresh_store) as it:
        it.deps.decisions.open(Wire())
        it.told("setup:alerter", setup())
        yield it


@pytest.fixture
async def bare() -> AsyncIterator[Api]:
    """Without any alert, and without a real store."""
    async with running_api() as it:
        it.deps.decisions.open(Wire())
        it.told("setup:alerter", setup())
        yield it


async def get(api: Api, path: str, **more: Any) -> Any:
    answer = await api.ask(f"/api/v2/{path}", **more)
    assert answer.status_code == 200, answer.text
    return answer.json() if answer.content else None


async def test_alerts_are_said_as_alertmanager_says_them(api: Api) -> None:
    found = {one["fingerprint"]: one for one in await get(api, "alerts")}
    assert set(found) == {"f-plain", "f-hidden", "f-lower", "f-mine"}, "what is over is not there"
    plain = found["f-plain"]
    assert plain["labels"]["alertname"] == "disk_full"
    assert plain["annotations"] == {"advice": "make room", "summary": "disk / is full on web-1"}
    assert (plain["startsAt"], plain["receivers"]) == ("2027-01-15T08:00:00.000Z", [{"name": "pager"}])
    assert instant(plain["endsAt"]) > T0, "it goes on"
    states = {name: one["status"] for name, one in found.items()}
    assert states["f-plain"] == {"state": "active", "silencedBy": [], "inhibitedBy": []}
    assert states["f-hidden"] == {"state": "suppressed", "silencedBy": ["s1"], "inhibitedBy": []}
    assert states["f-lower"] == {"state": "suppressed", "silencedBy": [], "inhibitedBy": ["f-plain"]}
    assert states["f-mine"]["state"] == "active"
    assert found["f-mine"]["annotations"]["lapwing_state"].startswith("acknowledged")


async def test_alerts_are_filtered(api: Api) -> None:
    for query, expected in (
        ("silenced=false&inhibited=false", {"f-plain", "f-mine"}),
        ("active=false", {"f-hidden", "f-lower"}),
        ("active=false&inhibited=false", {"f-hidden"}),
        ('filter=alertname%3D"disk_full"&filter=mountpoint%3D~"/.*"&active=false&silenced=false', {"f-lower"}),
        ("filter=severity!%3Dcritical", set()),
        ("receiver=pag.*&silenced=false&inhibited=false", {"f-plain", "f-mine"}),
        ("receiver=pag", set()),
        ("unprocessed=true&active=false&silenced=false&inhibited=false", set()),
    ):
        assert {one["fingerprint"] for one in await get(api, f"alerts?{query}")} == expected, query


async def test_groups_are_those_of_the_route(api: Api) -> None:
    (group,) = await get(api, "alerts/groups?silenced=false&inhibited=false&filter=host=web-1")
    assert group["receiver"] == {"name": "pager"}
    assert group["labels"]["mountpoint"] == "/", "this route groups by everything"
    assert len(group["alerts"]) == 2


async def test_status_carries_the_routes_and_receivers_their_names(api: Api) -> None:
    status = await get(api, "status")
    assert status["cluster"] == {"status": "disabled", "peers": []}
    config = yaml.safe_load(status["config"]["original"])
    assert config["route"]["routes"][1] == {
        "receiver": "pager", "matchers": ['severity="critical"'], "group_by": ["..."], "group_wait": "0s",
        "group_interval": "5m", "repeat_interval": "4h",
    }  # fmt: skip
    assert await get(api, "receivers") == [{"name": n} for n in ("boss", "dba", "ops", "pager")]
    api.told("setup:alerter", None)
    assert await get(api, "receivers") == [{"name": "nobody"}]
    assert len(await get(api, "alerts")) == 4
    assert (await get(api, "alerts/groups"))[0]["receiver"] == {"name": "nobody"}


async def test_silences_come_and_go(bare: Api) -> None:
    made = await get(bare, "silences", method="POST", who="operator", body=SILENCE)
    assert UUID.fullmatch(made["silenceID"]), "amtool wants a UUID"
    path = f"silence/{made['silenceID']}"
    one = await get(bare, path)
    assert {k: one[k] for k in SILENCE} == SILENCE | {"createdBy": "ada (operator)"}
    assert one["status"] == {"state": "active"}
    (shown,) = await bare.data("/api/system/silences/")
    assert (shown["id"], shown["author"]) == (made["silenceID"], "ada (operator)"), "there is one kind of silence"
    assert await get(bare, "silences?filter=host%3D%22web-.*%22") == [one]
    assert await get(bare, "silences?filter=host%3D%22db%22") == []
    longer = SILENCE | {"id": made["silenceID"], "endsAt": "2027-01-15T12:00:00Z"}
    assert await get(bare, "silences", method="POST", who="operator", body=longer) == made
    assert (await get(bare, path))["endsAt"] == "2027-01-15T12:00:00.000Z"
    assert await get(bare, path, method="DELETE", who="operator") is None
    assert (await get(bare, path))["status"] == {"state": "expired"}
    again = await get(bare, "silences", method="POST", who="operator", body=longer)
    assert again["silenceID"] != made["silenceID"], "what is over stays over"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "alerts", [{"labels": {"alertname": "x"}}], 400),
        ("POST", "silences", SILENCE | {"matchers": []}, 400),
        ("POST", "silences", SILENCE | {"matchers": [{"name": "a", "value": "(?=a)", "isRegex": True}]}, 400),
        ("POST", "silences", SILENCE | {"matchers": [{"name": "a'", "value": "x"}]}, 400),
        ("POST", "silences", SILENCE | {"matchers": SILENCE["matchers"] * 1000}, 400),
        ("POST", "silences", SILENCE | {"endsAt": "2027-01-15T07:00:00Z"}, 400),
        ("POST", "silences", SILENCE | {"endsAt": "soon"}, 400),
        ("POST", "silences", SILENCE | {"id": "nobody's"}, 404),
        ("POST", "silences", [], 400),
        ("GET", "silence/nobody's", None, 404),
        ("DELETE", "silence/nobody's", None, 404),
        ("GET", "alerts?filter=nonsense", None, 400),
        ("GET", "alerts?receiver=(?%3Da)", None, 400),
        ("GET", "alerts?active=perhaps", None, 400),
        ("GET", "alerts?colour=red", None, 400),
    ],
)
async def test_a_refusal_is_a_sentence(bare: Api, method: str, path: str, body: Any, status: int) -> None:
    answer = await bare.ask(f"/api/v2/{path}", method=method, who="operator", body=body)
    assert answer.status_code == status
    assert isinstance(answer.json(), str) and len(answer.json()) < 400
    assert "Value error" not in answer.text


async def test_nasty_queries_are_taken_or_refused(bare: Api) -> None:
    for path, names in (("alerts", ("filter", "receiver", "active")), ("silences", ("filter",))):
        for name in names:
            for value in NASTY:
                answer = await bare.ask(f"/api/v2/{path}?{urlencode({name: value})}")
                assert answer.status_code in (200, 400), (name, value)
                assert "Traceback" not in answer.text


async def test_who_may_not_act_may_look(bare: Api) -> None:
    assert (await bare.ask("/api/v2/silences", method="POST", body=SILENCE)).status_code == 403
    assert (await bare.ask("/api/v2/silence/x", method="DELETE")).status_code == 403
    assert (await bare.ask("/api/v2/alerts", who=None)).status_code == 401


async def test_every_refusal_is_a_sentence_as_alertmanagers_are(bare: Api) -> None:
    asked: list[dict[str, Any]] = [
        {"path": "/api/v2/alerts", "who": None},
        {"path": "/api/v2/silences", "method": "POST", "body": SILENCE},
        {"path": "/api/v2/nothing"},
        {"path": "/api/v2/status", "method": "PUT"},
        {"path": "/api/v2/alerts?filter=x"},
    ]
    answers = [await bare.ask(**one) for one in asked]
    assert [a.status_code for a in answers] == [401, 403, 404, 405, 400]
    assert all(isinstance(a.json(), str) and a.json().isascii() for a in answers)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def test_basic_authentication_is_for_this_api_alone_and_is_limited(bare: Api) -> None:
    async def status(path: str, authorization: str) -> int:
        return (await bare.http.get(path, headers={"Authorization": authorization})).status_code

    for _ in range(15):
        assert await status("/api/v2/alerts", basic("viewer", PASSWORD)) == 200, "what was right is remembered"
    assert await status("/api/v2/alerts", basic("", bare.tokens["viewer"])) == 200
    assert await status("/api/system/alerts/", basic("viewer", PASSWORD)) == 401
    for wrong in (basic("viewer", "wrong"), "Basic", "Basic !!!", basic("", ""), basic("viewer", "")):
        assert await status("/api/v2/alerts", wrong) == 401
    tries = [await status("/api/v2/alerts", basic("viewer", f"guess {n}")) for n in range(12)]
    assert tries[-1] == 429
    await bare.deps.accounts.change_user("viewer", disabled=True)
    bare.clock.advance(61)
    assert await status("/api/v2/alerts", basic("viewer", PASSWORD)) == 401


@pytest.mark.parametrize(("name", "password"), [("x" * 257, "guess"), ("viewer", "x" * 1025)])
async def test_who_cannot_be_a_user_is_not_remembered_as_one(bare: Api, name: str, password: str) -> None:
    """What is counted is kept: names as long as a header may be would fill the memory."""
    headers = {"authorization": basic(name, password)}
    tries = [(await bare.http.get("/api/v2/alerts", headers=headers)).status_code for _ in range(12)]
    assert set(tries) == {401}


# -- amtool -----------------------------------------------------------------------------------------------------------

Tool = Callable[..., Awaitable[str]]


@pytest.fixture
async def amtool(api: Api, alertmanager_at_hand: Path, tmp_path: Path) -> AsyncIterator[Tool]:
    """``await amtool("alert", "query")``: what it printed."""
    program = alertmanager_at_hand / AMTOOL
    server = Server(api.app)
    _, port = await server.start_tcp("127.0.0.1", 0)
    credentials = tmp_path / "http.yml"
    credentials.write_text(json.dumps({"authorization": {"type": "Bearer", "credentials": api.tokens["operator"]}}))

    async def run(*words: str, config: Path = credentials, fails: bool = False) -> str:
        command = [str(program), f"--alertmanager.url=http://127.0.0.1:{port}", f"--http.config.file={config}", *words]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
        assert done.returncode == (1 if fails else 0), done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    try:
        yield run
    finally:
        await server.stop()


async def test_amtool_asks_silences_lifts_and_tests_routes(api: Api, amtool: Tool, tmp_path: Path) -> None:
    shown = json.loads(await amtool("alert", "query", "-o", "json"))
    assert {one["fingerprint"] for one in shown} == {"f-plain", "f-mine"}
    assert "disk_full" in await amtool("alert", "query", "disk_full")
    assert "disk_full" not in await amtool("alert", "query", "severity=warning")
    hidden = json.loads(await amtool("alert", "query", "-o", "json", "--silenced"))
    assert "f-hidden" in {one["fingerprint"] for one in hidden}

    words = ("--author=ada", "--comment=racks", "--start=2027-01-15T08:01:00Z", "--end=2027-01-15T10:01:00Z")
    made = (await amtool("silence", "add", *words, "alertname=disk_full", "host=~web-.*")).strip()
    assert UUID.fullmatch(made)
    (shown,) = json.loads(await amtool("silence", "query", "-o", "json"))
    assert (shown["id"], shown["createdBy"]) == (made, "ada (operator)")
    (ours,) = await api.data("/api/system/silences/")
    assert [m["value"] for m in ours["matchers"]] == ["disk_full", "web-.*"]
    await amtool("silence", "expire", made)
    assert (await api.data("/api/system/silences/"))[0]["state"] == "expired"

    assert (await amtool("config", "routes", "test", "severity=critical", "role=db")).split() == ["dba,pager"]
    assert (await amtool("config", "routes", "test", "severity=warning")).split() == ["ops"]
    assert "pager" in await amtool("config", "routes", "show")
    assert "receiver: pager" in await amtool("config", "show")

    config = tmp_path / "basic.yml"
    config.write_text(json.dumps({"basic_auth": {"username": "viewer", "password": PASSWORD}}))
    assert "disk_full" in await amtool("alert", "query", config=config), "a password will do as well"


async def test_amtool_shows_why_it_was_refused(amtool: Tool) -> None:
    for words, why in (
        (("alert", "query", 'alertname=~"(a"'), "RE2"),
        (("alert", "query", "--receiver=(a"), "RE2"),
        (
            ("silence", "add", "--comment=x", "--start=2027-01-15T08:01:00Z", "--end=2027-01-15T10:01:00Z", "host=~.*"),
            "these would silence everything",
        ),
    ):
        assert why in await amtool(*words, fails=True), words
