"""The alerts topic's past as the store keeps it, for a broker that forgets when it stops."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.alerter.history import LATELY_MS, History
from shared.runtime.clock import Clock
from shared.schemas.alert import Alert, Delivery
from shared.store.port import Store, StoreError

log = logging.getLogger(__name__)

HERE = Path(__file__).with_name("sql")
_BEFORE = {"pending": "inactive", "firing": "pending", "resolved": "firing", "inactive": "pending"}


def kept_in(open_store: Callable[[], Awaitable[Store]], clock: Clock) -> History:
    """A history for ``build``; the store is opened for it and closed again.

    A store that cannot be asked is an empty past and a warning: an alerter that watches is better than none.
    """

    async def history() -> list[Alert | Delivery]:
        try:
            store = await open_store()
            try:
                return await _read(store, clock.now_ms() - LATELY_MS)
            finally:
                await store.close()
        except StoreError as error:
            log.warning("what was firing is not known: the store does not say", extra={"reason": str(error)})
            return []

    return history


async def _read(store: Store, since_ms: int) -> list[Alert | Delivery]:
    alerts = [_alert(*row) for row in await store.query(_sql("open_alerts"), {"since": since_ms})]
    if not alerts:
        return []
    rows = await store.query(
        _sql("their_deliveries"),
        {"since": min(a.started_at for a in alerts), "alert_ids": [a.alert_id for a in alerts]},
    )
    return [*alerts, *(_delivery(*row) for row in rows)]


def _sql(name: str) -> str:
    return (HERE / f"{name}.sql").read_text("utf-8")


def _alert(
    alert_id: str,
    fingerprint: str,
    host_id: str,
    host: str,
    rule: str,
    state: str,
    severity: str,
    labels: dict[str, str],
    annotations: dict[str, str],
    value: float | None,
    threshold: float | None,
    started_at: int,
    updated_at: int,
    ended_at: int | None,
    summary: str,
    reason: str,
    anomaly_id: str,
) -> Alert:
    return Alert.model_validate(
        {
            "event_id": f"{alert_id}:{state}",
            "ts": updated_at,
            "alert_id": alert_id,
            "fingerprint": fingerprint,
            "host_id": host_id,
            "host": host,
            "rule": rule,
            "state": state,
            "previous_state": _BEFORE.get(state, "inactive"),
            "severity": severity,
            "labels": labels,
            "annotations": annotations,
            "value": value,
            "threshold": threshold,
            "started_at": started_at,
            "ended_at": ended_at,
            "summary": summary,
            "reason": reason,
            "anomaly_id": anomaly_id,
        }
    )


def _delivery(
    event_id: str,
    ts: int,
    notification_id: str,
    host_id: str,
    receiver: str,
    channel: str,
    status: str,
    alert_ids: list[str],
    attempt: int,
    outcome: str,
) -> Delivery:
    return Delivery.model_validate(
        {
            "event_id": event_id,
            "ts": ts,
            "notification_id": notification_id,
            "host_id": host_id,
            "receiver": receiver,
            "channel": channel,
            "status": status,
            "alert_ids": list(alert_ids),
            "attempt": attempt,
            "outcome": outcome,
        }
    )
