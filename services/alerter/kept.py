"""The past as the store keeps it, for a broker that forgets when it stops: alerts, what was made of them, decisions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from services.alerter.evaluation.known import LATELY_MS
from services.alerter.following import History, Said, decided
from shared.runtime.clock import Clock
from shared.schemas.alert import Alert, Attention, Delivery
from shared.schemas.control import Control, Watched
from shared.store.port import Store, StoreError

log = logging.getLogger(__name__)

WATCHED_DAYS = 7
HERE = Path(__file__).with_name("sql")
_MEANT = "(state IN ('pending', 'firing') OR updated_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC'))"
_BEFORE = {"pending": "inactive", "firing": "pending", "resolved": "firing", "inactive": "pending"}


def kept_in(open_store: Callable[[], Awaitable[Store]], clock: Clock, *, most_hosts: int) -> History:
    """A history for ``build``, of so many hosts that were heard last; the store is opened for it and closed again.

    What the store cannot be asked is not known, and a warning: an alerter that watches is better than none.
    """

    async def history() -> list[Said | Control]:
        try:
            store = await open_store()
        except StoreError as error:
            _unknown("what was firing, what was told and what was decided", error)
            return []
        now_ms = clock.now_ms()
        asked = {
            "since": now_ms - LATELY_MS,
            "watched_since": now_ms - WATCHED_DAYS * 86_400_000,
            "most_hosts": most_hosts,
        }
        found: list[Said | Control] = []
        try:
            for what, (name, made_of) in _QUESTIONS.items():
                try:
                    found += [event for row in await store.query(_sql(name), asked) for event in made_of(*row)]
                except StoreError as error:
                    _unknown(what, error)
        finally:
            await store.close()
        return found

    return history


def _unknown(what: str, error: StoreError) -> None:
    log.warning(f"{what} is not known: the store does not say", extra={"reason": str(error)})


def _sql(name: str) -> str:
    return (HERE / f"{name}.sql").read_text("utf-8").replace("$meant", _MEANT)


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
) -> Iterator[Alert]:
    yield Alert.model_validate(
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
    occasion: str,
    group_key: str,
    resolved_ids: list[str],
) -> Iterator[Delivery]:
    yield Delivery.model_validate(
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
            "occasion": occasion or "first",
            "group_key": group_key,
            "resolved_ids": list(resolved_ids),
        }
    )


def _attention(
    alert_id: str, ts: int, host_id: str, state: str, reason: str, by: list[str], until: int | None
) -> Iterator[Attention]:
    yield Attention.model_validate(
        {
            "event_id": f"{alert_id}:attention:{ts}",
            "ts": ts,
            "alert_id": alert_id,
            "host_id": host_id,
            "state": state,
            "reason": reason,
            "by": list(by),
            "until": until,
        }
    )


def _watched(host_id: str, host: str, labels: dict[str, str], last_seen: int) -> Iterator[Watched]:
    yield Watched(event_id=f"{host_id}:watched", ts=last_seen, id=host_id, host=host, labels=dict(labels))


def _decided(value: str) -> Iterator[Control]:
    return decided(value.encode())


_QUESTIONS: dict[str, tuple[str, Callable[..., Iterable[Said | Control]]]] = {
    "what was decided": ("decisions", _decided),
    "which hosts would be missed": ("watched_hosts", _watched),
    "what was firing": ("open_alerts", _alert),
    "what was made of alerts": ("their_attention", _attention),
    "who was told": ("their_deliveries", _delivery),
}
"""The statement that asks for it, and what becomes of a row."""
