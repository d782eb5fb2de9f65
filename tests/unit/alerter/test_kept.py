"""The past as the store keeps it: what the embedded broker forgot."""

from __future__ import annotations

import json

from services.alerter.kept import kept_in
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.schemas.alert import Alert, Attention, Delivery
from shared.schemas.codec import encode, pack
from shared.schemas.control import Control, Matcher, Silence, Trial, Watched, key_of
from shared.store.clickhouse import open_store
from shared.store.port import Store, StoreError
from tests.support.samples import host_sample
from tests.support.store import fresh_store
from tests.unit.alerter.support import alert

__all__ = ["fresh_store"]

T0 = 1_800_000_000_000


def delivery(alert_id: str, *, receiver: str = "webhook", outcome: str = "delivered") -> Delivery:
    return Delivery(
        event_id=f"{alert_id}:{receiver}:{outcome}",
        ts=T0,
        notification_id=f"n-{alert_id}",
        host_id="h1",
        receiver=receiver,
        channel=receiver,
        status="firing",
        alert_ids=[alert_id],
        attempt=1,
        outcome=outcome,  # type: ignore[arg-type]
        occasion="changed",
        group_key="{}:{}",
        resolved_ids=[],
    )


async def kept(settings: Settings, *, most_hosts: int = 100) -> list[Alert | Attention | Delivery | Control]:
    history = kept_in(lambda: open_store(settings, "history"), ManualClock(T0), most_hosts=most_hosts)
    return list(await history())


async def test_what_was_said_of_alerts_is_said_again(fresh_store: Settings) -> None:
    firing = alert("a", labels={"mountpoint": "/"}, anomaly_id="x", reason="stayed beyond", annotations={"title": "t"})
    held = Attention(
        event_id="a:1", ts=T0, alert_id="a", host_id="h1", state="suppressed", by=["silence:s"], until=T0 + 5
    )
    events = [
        alert("a", state="pending", ts=T0 - 5),
        firing,
        held,
        delivery("a"),
        delivery("a", receiver="email", outcome="temporary_failure"),
        alert("old", state="resolved", ts=T0 - 7_200_000),
        alert("p", state="pending", ts=T0 + 1),
        alert("late", state="resolved", ts=T0 - 60_000),
        delivery("old"),
    ]
    store = await open_store(fresh_store, "writer")
    await store.insert_lines("landing_alerts", pack(encode(e) for e in events))
    await store.close()

    said = await kept(fresh_store)
    assert {a.alert_id: a.state for a in said if isinstance(a, Alert)} == {
        "a": "firing",
        "p": "pending",
        "late": "resolved",
    }
    assert next(a for a in said if isinstance(a, Alert) and a.alert_id == "a") == firing
    (attention,) = [e for e in said if isinstance(e, Attention)]
    assert (attention.state, attention.by, attention.until) == ("suppressed", ["silence:s"], T0 + 5)
    attempts = [e for e in said if isinstance(e, Delivery)]
    assert sorted((d.receiver, d.outcome, d.occasion, d.group_key) for d in attempts) == [
        ("email", "temporary_failure", "changed", "{}:{}"),
        ("webhook", "delivered", "changed", "{}:{}"),
    ]


async def test_who_was_told_of_a_host_whose_clock_is_ahead_is_known(fresh_store: Settings) -> None:
    """By its clock the alert began after it was told."""
    ahead = alert("a", started_at=T0 + 300_000, ts=T0 + 300_000)
    store = await open_store(fresh_store, "writer")
    await store.insert_lines("landing_alerts", pack([encode(ahead), encode(delivery("a"))]))
    await store.close()
    assert [event.alert_ids for event in await kept(fresh_store) if isinstance(event, Delivery)] == [["a"]]


async def test_of_more_hosts_than_there_is_room_for_those_heard_last_are_missed(fresh_store: Settings) -> None:
    store = await open_store(fresh_store, "writer")
    samples = [host_sample(host_id=f"h{n}", ts=T0 - (n * 7 % 10) * 1000) for n in range(10)]
    await store.insert_lines("landing_metrics", pack(json.dumps(s).encode() for s in samples))
    await store.close()
    assert [e.id for e in await kept(fresh_store, most_hosts=3) if isinstance(e, Watched)] == ["h0", "h3", "h6"]


async def test_what_was_decided_is_told_before_the_api_tells_it(fresh_store: Settings) -> None:
    silence = Silence(
        event_id="s1", ts=T0, id="s", matchers=[Matcher(name="host", value="h1")], starts_at=1, ends_at=2, author="ada"
    )
    store = await open_store(fresh_store, "writer")
    await store.insert_rows(
        "decisions",
        ["key", "value", "version"],
        [(key_of(silence), encode(silence).decode(), 1), ("silence:taken-back", "", 2)],
    )
    await store.close()
    assert [e for e in await kept(fresh_store) if not isinstance(e, Watched)] == [silence]


async def test_a_decision_that_cannot_be_read_costs_only_itself(fresh_store: Settings) -> None:
    trial = Trial(event_id="t", ts=T0, id="t", receiver="ops")
    store = await open_store(fresh_store, "writer")
    await store.insert_rows(
        "decisions",
        ["key", "value", "version"],
        [("oracle:1", '{"kind": "oracle", "id": "1"}', 1), (key_of(trial), encode(trial).decode(), 1)],
    )
    await store.close()
    assert await kept(fresh_store) == [trial]


async def test_a_question_that_is_not_answered_costs_only_itself(fresh_store: Settings) -> None:
    store = await open_store(fresh_store, "writer")
    await store.insert_lines("landing_alerts", pack([encode(alert("a")), encode(delivery("a"))]))
    await store.command("DROP TABLE attention")
    await store.close()
    assert [type(event) for event in await kept(fresh_store)] == [Alert, Delivery]


async def test_an_empty_store_is_an_empty_past(fresh_store: Settings) -> None:
    assert await kept(fresh_store) == []


async def test_a_store_that_is_away_is_an_empty_past() -> None:
    async def away() -> Store:
        raise StoreError("away")

    assert await kept_in(away, ManualClock(), most_hosts=1)() == []
