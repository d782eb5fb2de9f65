"""One anomaly in detail: what its metrics did before, during and after it, and when this host was like that before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.api import listings, messages
from services.api.errors import not_found
from services.api.history import History
from services.api.history_plan import Plan, plan
from services.api.listings import ANOMALIES
from services.api.queries import Queries
from shared.runtime import times
from shared.runtime.settings import ClickhouseSettings
from shared.schemas.metrics import BY_NAME

SCORE: Mapping[str, Any] = {"metric": "host.score", "labels": {}, "expected_low": 0.0, "expected_high": 1.0}
AROUND_LEAST_MS = 10 * 60_000
AROUND_MOST_MS = 6 * 3_600_000
MOST_SIMILAR = 5
_SIMILAR = (
    "host_id = {host_id:String}",
    "finding = {finding:String}",
    "started_at < fromUnixTimestamp64Milli({started_at:Int64}, 'UTC')",
)
_TOLD = ("id", "started_at", "ended_at", "severity", "peak_score", "summary")


async def find(queries: Queries, anomaly_id: str) -> dict[str, Any]:
    """As it is listed. Raises ``ApiError``: 404 for one nobody knows, 503 without a store."""
    found = await listings.newest(queries, ANOMALIES, ["anomaly_id = {id:String}"], {"id": anomaly_id}, 1)
    if not found:
        raise not_found(messages.UNKNOWN_ANOMALY.of(id=anomaly_id[:128]))
    return found[0]


async def detail(
    queries: Queries, history: History, kept: ClickhouseSettings, anomaly_id: str, now_ms: int
) -> dict[str, Any]:
    """Raises as ``find`` does."""
    anomaly = await find(queries, anomaly_id)
    how = plan(*around(anomaly, now_ms), None, now_ms, kept)
    series = [await _series(history, anomaly["host_id"], what, how) for what in _looked_at(anomaly)]
    asked = {
        "host_id": anomaly["host_id"],
        "finding": anomaly["finding"],
        "started_at": times.moment(anomaly["started_at"], now_ms),
    }
    similar = await listings.newest(queries, ANOMALIES, _SIMILAR, asked, MOST_SIMILAR)
    return {
        **anomaly,
        "step": how.step,
        "tier": how.tier,
        "series": series,
        "similar": [{name: one[name] for name in _TOLD} for one in similar],
    }


def around(anomaly: Mapping[str, Any], now_ms: int) -> tuple[int, int]:
    """From a while before it began until a while after it ended, or now: half of what it lasted, within bounds."""
    start = times.moment(anomaly["started_at"], now_ms)
    end = max(start, times.moment(anomaly["ended_at"], now_ms) if anomaly["ended_at"] else now_ms)
    while_ms = min(max((end - start) // 2, AROUND_LEAST_MS), AROUND_MOST_MS)
    return start - while_ms, max(start, min(now_ms, end + while_ms))


def _looked_at(anomaly: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    yield SCORE
    for contribution in anomaly["contributions"]:
        if contribution["metric"] in BY_NAME:
            yield {name: contribution[name] for name in ("metric", "labels", "expected_low", "expected_high")}


async def _series(history: History, host_id: str, what: Mapping[str, Any], how: Plan) -> dict[str, Any]:
    found = await history.series(what["metric"], [host_id], "avg", how)
    return {**what, "points": next((one.points for one in found if one.labels == what["labels"]), [])}
