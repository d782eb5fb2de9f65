"""The past as the store keeps it: what the embedded broker forgot."""

from __future__ import annotations

from services.alerter.history import Past
from services.alerter.kept import kept_in
from shared.runtime.clock import ManualClock
from shared.runtime.settings import Settings
from shared.schemas.alert import Delivery
from shared.schemas.codec import encode, pack
from shared.store.clickhouse import open_store
from shared.store.port import Store, StoreError
from tests.support.store import empty_store, fresh_store
from tests.unit.alerter.support import alert
from tests.unit.alerter.test_dispatch import delivery

__all__ = ["empty_store", "fresh_store"]

T0 = 1_800_000_000_000


async def test_what_was_stored_is_what_was_said(fresh_store: Settings) -> None:
    firing = alert("a", labels={"mountpoint": "/"}, anomaly_id="x", reason="stayed beyond", annotations={"title": "t"})
    events = [
        alert("a", state="pending", ts=T0),
        firing,
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

    history = kept_in(lambda: open_store(fresh_store, "history"), ManualClock(T0))
    kept = list(await history())
    past = Past()
    for event in kept:
        past.add(event)
    assert {a.alert_id: a.state for a in past.open()} == {"a": "firing", "p": "pending"}
    assert past.firing() == [firing]
    assert [a.alert_id for a in past.ended_lately()] == ["late"]
    assert past.settled("a", "firing") == {"webhook"}
    assert past.tried("a", "firing") == {"webhook", "email"}
    assert len([e for e in kept if isinstance(e, Delivery)]) == 2


async def test_an_empty_store_is_an_empty_past(fresh_store: Settings) -> None:
    assert await kept_in(lambda: open_store(fresh_store, "history"), ManualClock(T0))() == []


async def test_a_store_that_is_away_is_an_empty_past() -> None:
    async def away() -> Store:
        raise StoreError("away")

    assert await kept_in(away, ManualClock())() == []
