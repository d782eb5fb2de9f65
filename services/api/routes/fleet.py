"""Every host, the metric catalogue, and who is on top; from memory."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from services.api import messages, metric_values, parameters, shapes
from services.api.ask import Ask
from services.api.errors import unprocessable
from services.api.ledger import Account
from services.api.live import HostState
from services.api.metric_parameter import METRIC_NAME
from services.api.parameters import HOST
from services.api.responses import ok
from services.api.route import Route
from shared.runtime import times
from shared.schemas.metrics import BY_NAME, CATALOGUE

STATUS = parameters.optional_one_of("status", "Only hosts of this status.", ("online", "silent", "conflict"))
TOP_LIMIT = parameters.whole_number("limit", "At most so many.", 1, 1000, 10)
FROM = parameters.moment("from", "Start. Default: 24 hours before the end.")
TO = parameters.moment("to", "End. Default: now.")
DAY_MS = 86_400_000
ORDER = parameters.one_of("order", "The greatest (`desc`) or the smallest (`asc`) first.", ("desc", "asc"), "desc")
_METRICS = [
    {"name": m.name, "unit": m.unit, "labels": [m.label] if m.label else [], "description": m.description}
    for m in CATALOGUE
]

_ACCOUNT = {
    "expected": 86_400,
    "stored": 86_390,
    "missing": 10,
    "late": 312,
    "backfilled": 300,
    "dropped": {"too_many": 10},
    "dead_letters": 0,
    "percent": 99.98,
}


async def hosts(ask: Ask) -> Response:
    wanted = ask.query(STATUS)[STATUS]
    day = await ask.deps.ledger.day()
    rows = [_host(ask, h, day.get(h.host_id)) for h in ask.deps.live]
    rows = [r for r in rows if wanted in (None, r["status"])]
    return ok(sorted(rows, key=lambda r: (r["name"], r["id"])), ask.language)


def _host(ask: Ask, host: HostState, account: Account | None) -> dict[str, Any]:
    agent = host.section("agent")
    return {
        "id": host.host_id,
        "name": host.name,
        "labels": host.labels,
        "last_seen": times.iso(host.heard_ms),
        "status": ask.deps.directory.status(host, ask.now_ms),
        "agent_version": agent.version if agent else None,
        "score": host.score,
        # Until the first hour of a host is in the ledger, what this replica heard itself.
        "completeness": account.percent if account else host.sequence.completeness(),
        "ledger": account.shown() if account else None,
    }


async def completeness(ask: Ask) -> Response:
    values = ask.query(HOST, FROM, TO)
    host = ask.deps.directory.find(values[HOST], ask.now_ms)
    start, end = values[FROM], values[TO]
    until = ask.now_ms if end is None else end
    since = max(0, until - DAY_MS) if start is None else start
    if since >= until:
        raise unprocessable(messages.EMPTY_RANGE)
    hours = await ask.deps.ledger.hours(host.host_id, since, until)
    return ok({"host": host.name, "host_id": host.host_id, "hours": hours}, ask.language)


async def metrics(ask: Ask) -> Response:
    ask.query()
    return ok(_METRICS, ask.language)


async def top(ask: Ask) -> Response:
    values = ask.query(METRIC_NAME, TOP_LIMIT, ORDER)
    name = values[METRIC_NAME]
    label = BY_NAME[name].label
    ranked = metric_values.top(ask.deps.live, name, values[TOP_LIMIT], greatest=values[ORDER] == "desc")
    return ok(
        [
            {
                "host": r.host.name,
                "host_id": r.host.host_id,
                "labels": {label: r.label} if label else {},
                "value": r.value,
                "ts": times.iso(r.ts),
            }
            for r in ranked
        ],
        ask.language,
    )


ROUTES = [
    Route(
        "GET",
        "/api/system/hosts/",
        hosts,
        "read",
        "Every host and how it is doing",
        "fleet",
        data=list[shapes.Host],
        example=[
            {
                "id": "4f1d2c3b5a69788796a5b4c3d2e1f001",
                "name": "web-1",
                "labels": {"role": "web"},
                "last_seen": "2026-02-01T12:00:00Z",
                "status": "online",
                "agent_version": "0.1.0",
                "score": 0.31,
                "completeness": 99.98,
                "ledger": _ACCOUNT,
            }
        ],
        parameters=(STATUS,),
        description="`status`: `online`, `silent` (nothing heard for a while) or `conflict` (two agents share this "
        "id). `completeness`: percent of the events of the last 24 hours that are stored; before the ledger knows a "
        "host, of those that this replica should have heard in the last hour. `ledger`: the same in numbers.",
    ),
    Route(
        "GET",
        "/api/system/completeness/",
        completeness,
        "read",
        "What was expected of a host, and what is stored, hour by hour",
        "fleet",
        data=shapes.CompletenessAnswer,
        example={
            "host": "web-1",
            "host_id": "4f1d2c3b5a69788796a5b4c3d2e1f001",
            "hours": [{"hour": "2026-02-01T11:00:00Z", **_ACCOUNT}],
        },
        parameters=(HOST, FROM, TO),
        description="Every hour that the range touches and of which anything is known. `expected` by the numbers that "
        "agents give their events; `late`: sent more than 30 s after it was measured; `backfilled`: it waited on the "
        "agent's disk; `dropped`: given up by the agent in this hour, by reason; `dead_letters`: refused by ingest.",
        refusals=(404, 503),
    ),
    Route(
        "GET",
        "/api/system/metrics/",
        metrics,
        "read",
        "The metric catalogue",
        "fleet",
        data=list[shapes.MetricInfo],
        example=_METRICS[:1],
    ),
    Route(
        "GET",
        "/api/system/top/",
        top,
        "read",
        "The hosts whose newest value of a metric is greatest",
        "fleet",
        data=list[shapes.RankedShape],
        example=[
            {
                "host": "web-1",
                "host_id": "4f1d2c3b5a69788796a5b4c3d2e1f001",
                "labels": {},
                "value": 97.5,
                "ts": "2026-02-01T12:00:00Z",
            }
        ],
        parameters=(METRIC_NAME, TOP_LIMIT, ORDER),
    ),
]
