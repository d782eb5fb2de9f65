"""One alert in detail: what became of it, who was told, who said what of it, and what its metric did around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.api import listings, messages, silences
from services.api.anomaly import SCORE, around
from services.api.decisions import Decisions
from services.api.errors import not_found
from services.api.history import History
from services.api.history_plan import Plan, plan
from services.api.listings import ALERTS
from services.api.queries import Queries
from services.api.statements import statement
from shared.runtime import times
from shared.runtime.settings import ClickhouseSettings
from shared.schemas.control import Acknowledgement
from shared.schemas.metrics import BY_NAME

MOST_EVENTS = 500
CLOCKS_DIFFER_MS = 86_400_000
FORGET_ACKS_MS = 7 * 86_400_000
MOST_AT_ONCE = 100

_ACKS = "ack:"
_TRANSITION = ("at", "previous_state", "state", "value", "reason")
_ATTENTION = ("at", "state", "reason", "by", "until")
_DELIVERY = (
    "at",
    "notification_id",
    "receiver",
    "channel",
    "status",
    "occasion",
    "attempt",
    "outcome",
    "detail",
    "next_attempt_at",
    "resolved",
)


async def find(queries: Queries, alert_id: str) -> dict[str, Any]:
    """As it is listed. Raises ``ApiError``: 404 for one nobody knows, 503 without a store."""
    found = await listings.newest(queries, ALERTS, ["alert_id = {id:String}"], {"id": alert_id}, 1)
    if not found:
        raise not_found(messages.UNKNOWN_ALERT.of(id=alert_id[:128]))
    return found[0]


async def detail(
    queries: Queries, history: History, decisions: Decisions, kept: ClickhouseSettings, alert_id: str, now_ms: int
) -> dict[str, Any]:
    """Raises as ``find`` does."""
    alert = await find(queries, alert_id)
    how = plan(*around(alert, now_ms), None, now_ms, kept)
    since = max(0, times.moment(alert["started_at"], now_ms) - CLOCKS_DIFFER_MS)
    said = await decisions.of(ack_key(alert_id))
    everybodys = await silences.standing(decisions, now_ms)
    return {
        **alert,
        "transitions": await _events(queries, "alert_transitions", _TRANSITION, alert_id),
        "attention": await _events(queries, "alert_attention", _ATTENTION, alert_id),
        "deliveries": await _events(queries, "alert_deliveries", _DELIVERY, alert_id, since=since),
        "ack": said and shape_of_ack(said),
        "silences": [silences.shape(s, now_ms) for s in everybodys if silences.means(s, alert["labels"])],
        "step": how.step,
        "tier": how.tier,
        "series": [await _series(history, alert["host_id"], what, how) for what in _looked_at(alert)],
    }


async def acknowledged(queries: Queries, decisions: Decisions, ack: Acknowledgement) -> None:
    """Somebody has it in hand; what was said of alerts that have long been over is forgotten. Raises ``ApiError``."""
    await decisions.tell(ack)
    old = [said["id"] for said in await decisions.all_of(_ACKS) if said["ts"] < ack.ts - FORGET_ACKS_MS][:MOST_AT_ONCE]
    still = {one for (one,) in await queries.rows(statement("alerts_open_of"), {"ids": old})} if old else set()
    for alert_id in old:
        if alert_id not in still:
            await decisions.take_back(ack_key(alert_id))


def ack_key(alert_id: str) -> str:
    return _ACKS + alert_id


def shape_of_ack(said: Mapping[str, Any]) -> dict[str, Any]:
    expires = said.get("expires_at")
    return {
        "author": said["author"],
        "note": said.get("note", ""),
        "at": times.iso(said["ts"]),
        "expires_at": None if expires is None else times.iso(expires),
        "severity": said.get("severity"),
        "value": said.get("value"),
    }


async def _events(queries: Queries, name: str, keys: Sequence[str], alert_id: str, **more: int) -> list[dict[str, Any]]:
    rows = await queries.rows(statement(name), {"id": alert_id, "most": MOST_EVENTS, **more})
    found = [dict(zip(keys, row, strict=True)) for row in rows]
    for one in found:
        for instant in {"at", "until", "next_attempt_at"} & one.keys():
            one[instant] = None if one[instant] is None else times.iso(one[instant])
        if "by" in one:
            one["by"] = list(one["by"])
        if "resolved" in one:
            one["resolved"] = bool(one["resolved"])
    return found


def _looked_at(alert: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metric that its rule watches; of what the detector found, the score."""
    labels = alert["labels"]
    metric = labels.get("metric", "")
    if metric in BY_NAME:
        label = BY_NAME[metric].label
        return [{"metric": metric, "labels": {label: labels.get(label, "")} if label else {}}]
    return [{"metric": SCORE["metric"], "labels": {}}] if alert["anomaly_id"] else []


async def _series(history: History, host_id: str, what: Mapping[str, Any], how: Plan) -> dict[str, Any]:
    found = await history.series(what["metric"], [host_id], "avg", how)
    return {**what, "points": next((one.points for one in found if one.labels == what["labels"]), [])}
