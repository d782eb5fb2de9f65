"""Alerts as people see them: what is so and what is made of it, in lists and in detail; and taking one on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.api import alerts, shapes
from shared.runtime.settings import Settings
from shared.schemas.control import Acknowledgement
from shared.store.port import Store
from tests.support.alerting import alert, attention, delivery, matcher, put
from tests.support.api import Api, running_api, type_of
from tests.support.samples import T0, host_sample
from tests.support.store import fresh_store, writer
from tests.support.wire import Wire, wire

__all__ = ["fresh_store", "wire", "writer"]

HOUR = 3_600_000
PATH = "/api/system/alerts/"


@pytest.fixture
async def api(fresh_store: Settings, writer: Store) -> AsyncIterator[Api]:
    async with running_api(fresh_store) as it:
        it.clock.advance(600)
        yield it


async def states(api: Api, query: str = "") -> dict[str, str]:
    return {a["id"]: a["state"] for a in (await api.data(PATH + query))["items"]}


async def test_the_state_shown_is_what_is_made_of_an_alert_while_it_fires(api: Api, writer: Store) -> None:
    await put(writer, *(alert(name) for name in ("plain", "mine", "hidden", "over", "woken", "odd")))
    await put(
        writer,
        attention("mine"),
        attention("hidden", "suppressed", by=["silence:s1"], until=T0 + HOUR),
        attention("over"),
        attention("woken", "suppressed"),
        attention("odd", "flapping"),
    )
    await put(
        writer,
        alert("over", ts=T0 + 2000, state="resolved", previous_state="firing", ended_at=T0 + 2000),
        attention("woken", "active", ts=T0 + 3000, by=[]),
        attention("woken", "suppressed", ts=T0 + 2000),  # late, and so no news
    )
    assert await states(api) == {
        "plain": "firing",
        "mine": "acknowledged",
        "hidden": "suppressed",
        "over": "resolved",
        "woken": "firing",
        "odd": "flapping",
    }
    assert set(await states(api, "?state=suppressed&state=acknowledged")) == {"mine", "hidden"}
    assert set(await states(api, "?state=firing")) == {"plain", "woken"}
    assert set(await states(api, "?active=true")) == {"plain", "mine", "hidden", "woken", "odd"}
    assert set(await states(api, "?active=false")) == {"over"}
    (hidden,) = (await api.data(PATH + "?state=suppressed"))["items"]
    type_of(hidden, shapes.AlertShape)
    assert (hidden["condition"], hidden["attention_by"]) == ("firing", ["silence:s1"])
    assert hidden["attention_until"] == "2027-01-15T09:00:00Z"
    (over,) = (await api.data(PATH + "?active=false"))["items"]
    assert (over["condition"], over["attention_reason"], over["attention_by"]) == ("resolved", "", [])


async def test_alerts_are_found_by_host_rule_severity_receiver_and_time(api: Api, writer: Store) -> None:
    await put(
        writer,
        alert("a"),
        alert("b", host_id="h2", host="web-2", rule="cpu_busy", severity="warning", started_at=T0 + 5000),
        delivery("n1", "a"),
        delivery("n2", "b", receiver="night shift"),
        delivery("n3", "a", receiver="night shift", outcome="gave_up", detail="HTTP 503"),
    )
    for query in (
        "host=web-2", "host=h2", "rule=cpu_busy", "severity=warning", "receiver=night%20shift", f"from={T0 + 1}",
    ):  # fmt: skip
        expected = {"a", "b"} if query.startswith("from") else {"b"}  # what fires lasts until now
        assert set(await states(api, f"?{query}")) == expected, query
    assert set(await states(api, f"?to={T0 + 4999}")) == {"a"}
    assert await states(api, "?receiver=nobody") == {}
    for query in ("state=odd", "active=yes", "limit=-1", "limit=0", "severity=bad", "from=x", "colour=red"):
        status, message = await api.refused(PATH + f"?{query}", accept_language="en")
        assert status == 422 and query.partition("=")[0] in message


async def test_an_alert_comes_with_its_history_and_what_its_metric_did(api: Api, writer: Store, wire: Wire) -> None:
    samples = [host_sample(ts=T0 + i * 1000, seq=i, event_id=f"s{i}", host_id="h1", host="web-1") for i in range(5)]
    await writer.insert_lines("landing_metrics", "\n".join(map(json.dumps, samples)).encode())
    await put(
        writer,
        alert(state="pending", previous_state="inactive"),
        alert(ts=T0 + 1000, reason="99 % is above 98 %"),
        attention(ts=T0 + 3000, until=T0 + HOUR),
        attention(ts=T0 + 2000, state="suppressed"),
        delivery("n1", "l1", "l2", outcome="temporary_failure", detail="HTTP 503", next_attempt_at=T0 + 1500),
        delivery("n1", "l1", "l2", ts=T0 + 1500, attempt=2, occasion="first", group_key="{}:{}"),
        delivery("n2", "l1", ts=T0 + 9000, status="resolved", occasion="resolved", resolved_ids=["l1"]),
        delivery("n3", "somebody else's"),
    )
    detail = await api.data(PATH + "l1/")
    type_of(detail, shapes.AlertDetail)
    assert [(t["previous_state"], t["state"]) for t in detail["transitions"]] == [
        ("inactive", "pending"),
        ("pending", "firing"),
    ]
    assert [(t["state"], t["until"]) for t in detail["attention"]] == [
        ("acknowledged", "2027-01-15T09:00:00Z"),
        ("suppressed", None),
    ]
    assert [(d["notification_id"], d["attempt"], d["outcome"], d["resolved"]) for d in detail["deliveries"]] == [
        ("n2", 1, "delivered", True),
        ("n1", 2, "delivered", False),
        ("n1", 1, "temporary_failure", False),
    ]
    assert detail["deliveries"][2]["detail"] == "HTTP 503"
    (series,) = detail["series"]
    assert (series["metric"], series["labels"]) == ("disk.percent", {"mountpoint": "/"})
    assert series["points"][0][1] == 64.2
    assert (detail["ack"], detail["silences"], detail["annotations"]) == (None, [], {"advice": "make room"})


async def test_what_the_detector_found_comes_with_the_score_and_a_silent_host_with_nothing(
    api: Api, writer: Store
) -> None:
    labels = {"alertname": "anomaly", "condition": "anomaly", "host": "web-1"}
    await put(writer, alert("odd", labels=labels, anomaly_id="a1"))
    await put(writer, alert("silent", labels=labels | {"alertname": "host_silent", "condition": "silent"}))
    assert [s["metric"] for s in (await api.data(PATH + "odd/"))["series"]] == ["host.score"]
    assert (await api.data(PATH + "silent/"))["series"] == []


async def test_one_that_nobody_knows_is_not_found(api: Api, wire: Wire) -> None:
    for name in ("a404", "'; DROP TABLE alerts; --", "%3Cb%3E", "%00", "a" * 300):
        for method, path in (("GET", ""), ("POST", "ack/"), ("DELETE", "ack/")):
            body = {} if method == "POST" else None
            status, message = await api.refused(
                f"{PATH}{name}/{path}", method=method, who="operator", body=body, accept_language="en"
            )
            assert status == 404 and len(message) < 180
    assert wire.told == []


async def test_an_acknowledgement_is_told_with_what_the_alert_was(api: Api, writer: Store, wire: Wire) -> None:
    await put(writer, alert())
    ack = f"{PATH}l1/ack/"
    said = await api.data(ack, method="POST", who="operator", body={"note": "on it <b>", "expires_in": "2h"})
    type_of(said, shapes.AckShape)
    ((key, event),) = wire.told
    assert (key, event["kind"], event["author"]) == ("ack:l1", "ack", "operator")
    assert (event["severity"], event["value"]) == ("critical", 99.0)
    assert event["expires_at"] == event["ts"] + 2 * HOUR
    assert (await api.data(PATH + "l1/"))["ack"] == said
    assert (await api.data(ack, method="POST", who="admin", body={}))["expires_at"] is None
    assert (await api.data(PATH + "l1/"))["ack"]["author"] == "admin", "the newest counts"
    await api.data(ack, method="DELETE", who="operator")
    assert (await api.data(PATH + "l1/"))["ack"] is None
    assert wire.told[-1] == ("ack:l1", None)
    assert (await api.refused(ack, method="DELETE", who="operator"))[0] == 404


async def test_acknowledgements_of_what_has_long_been_over_are_forgotten(api: Api, writer: Store, wire: Wire) -> None:
    await put(writer, *(alert(name) for name in ("l1", "lasting", "ended")))
    for name in ("lasting", "ended"):
        await api.data(f"{PATH}{name}/ack/", method="POST", who="operator", body={})
    await put(writer, alert("ended", state="resolved", previous_state="firing", ended_at=T0))
    later = api.clock.now_ms() + alerts.FORGET_ACKS_MS + 1
    ack = Acknowledgement(event_id="e", ts=later, id="l1", author="ada")
    await alerts.acknowledged(api.deps.queries, api.deps.decisions, ack)
    assert wire.told[-1] == ("ack:ended", None)
    assert (await api.data(PATH + "lasting/"))["ack"]["author"] == "operator"


async def test_what_is_over_cannot_be_acknowledged_nor_by_everybody(api: Api, writer: Store, wire: Wire) -> None:
    await put(writer, alert(state="resolved", previous_state="firing", ended_at=T0))
    ack = f"{PATH}l1/ack/"
    assert (await api.refused(ack, method="POST", who="viewer", body={}))[0] == 403
    assert (await api.refused(ack, method="DELETE", who="viewer"))[0] == 403
    assert (await api.refused(ack, method="POST", who="operator", body={}))[0] == 409
    assert wire.told == []


async def test_an_acknowledgement_that_cannot_be_is_refused_by_name(api: Api, writer: Store, wire: Wire) -> None:
    await put(writer, alert())
    body: Any
    for body, name in (
        ({"note": "x" * 4097}, "note"),
        ({"note": 1}, "note"),
        ({"expires_in": "soon"}, "expires_in"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": "9000d"}, "expires_in"),
        ({"author": "somebody else"}, "author"),
    ):
        status, message = await api.refused(f"{PATH}l1/ack/", method="POST", who="operator", body=body)
        assert status == 422 and name in message
    assert wire.told == []
    answer = await api.ask(f"{PATH}l1/ack/", method="POST", who="operator", body={"note": "x" * 10_000_000})
    assert answer.status_code == 413, "ten megabytes are refused before they are read"


async def test_silences_that_mean_an_alert_are_shown_with_it(api: Api, writer: Store, wire: Wire) -> None:
    await put(writer, alert())
    silence = {"matchers": [matcher("host", "web-.*", is_regex=True)], "duration": "1h"}
    await api.data("/api/system/silences/", method="POST", who="operator", body=silence)
    other = {"matchers": ['host="db-1"'], "duration": "1h"}
    await api.data("/api/system/silences/", method="POST", who="operator", body=other)
    (shown,) = (await api.data(PATH + "l1/"))["silences"]
    assert shown["matchers"] == [matcher("host", "web-.*", is_regex=True)]


async def test_what_is_made_of_an_alert_is_streamed_as_an_alert(api: Api) -> None:
    from services.api.broadcast import Client
    from shared.schemas.topics import ALERTS

    client = Client(frozenset({"alerts"}), None)
    api.deps.hub.join(client)
    for event in (alert(), attention(), delivery()):
        api.hear(event, ALERTS)
    frames = [client.frames.get_nowait() for _ in range(client.frames.qsize())]
    assert [f.split(b"\n")[0] for f in frames] == [b"event: alert"] * 2
    kinds = [json.loads(f.split(b"data: ")[1])["kind"] for f in frames]
    assert kinds == ["alert", "attention"]
