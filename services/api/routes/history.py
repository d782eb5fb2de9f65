"""``/api/system/history/``: metrics over time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from services.api import messages, parameters, shapes
from services.api.ask import Ask
from services.api.errors import unprocessable
from services.api.history import AGGREGATES, Series
from services.api.history_plan import MOST_POINTS_IN_ALL, QUANTILES, Plan, plan
from services.api.metric_parameter import METRIC_NAMES
from services.api.parameters import HOST, Parameter, Repeated, Values
from services.api.responses import encoded, ok_bytes
from services.api.route import Route
from shared.runtime import times
from shared.schemas.metrics import BY_NAME

HOSTS = Repeated(HOST)
FROM = parameters.moment("from", "Start. Default: an hour before the end.")
TO = parameters.moment("to", "End. Default: now.")
STEP: Parameter[int | None] = Parameter(
    "step",
    "Width of a point: `auto` (at most 1000 points), or such as `30s`, `5m`, `1h`, `1d`.",
    messages.STEP,
    lambda text, _: None if text == "auto" else times.duration(text),
    default=None,
    schema={"type": "string", "default": "auto"},
)
AGG = parameters.one_of("agg", "What a point says of the readings in it.", AGGREGATES, "avg")
TOP = parameters.optional_whole_number(
    "top", "Only so many series, those whose value over the whole range is greatest; over all hosts by default.", 1, 100
)
ALL = "*"
_LARGE = 20_000


async def history(ask: Ask) -> Response:
    values = ask.query(METRIC_NAMES, HOSTS, FROM, TO, STEP, AGG, TOP)
    hosts = _hosts(ask, values)
    metrics, aggregate, top = values[METRIC_NAMES], values[AGG], values[TOP]
    how = _plan(ask, values, fleet=hosts is None or len(hosts) > 20)
    many = top or (len(ask.deps.live) if hosts is None else len(hosts))
    if many * len(metrics) * how.points > MOST_POINTS_IN_ALL:
        least = times.in_words(how.step * -(-many * len(metrics) * how.points // MOST_POINTS_IN_ALL))
        raise unprocessable(messages.TOO_MANY_POINTS.of(most=MOST_POINTS_IN_ALL, least=least))
    # One metric after the other: each is several questions at once already, and others ask as well.
    series = [_shape(ask, s) for m in metrics for s in await _series(ask, m, hosts, aggregate, how, top)]
    data = {"series": series, "step": how.step, "tier": how.tier}
    if sum(len(s["points"]) for s in series) > _LARGE:
        return ok_bytes(await asyncio.to_thread(encoded, data), ask.language)
    return ok_bytes(encoded(data), ask.language)


def _plan(ask: Ask, values: Values, *, fleet: bool) -> Plan:
    until, since = values[TO], values[FROM]
    end = ask.now_ms if until is None else until
    start = max(0, end - 3_600_000) if since is None else since
    lacking = ""
    if values[AGG] in QUANTILES:
        lacking = next((m for m in values[METRIC_NAMES] if not BY_NAME[m].important), "")
    kept = ask.deps.settings.clickhouse
    return plan(start, end, values[STEP], ask.now_ms, kept, without_quantiles=lacking, fleet=fleet)


def _hosts(ask: Ask, values: Values) -> list[str] | None:
    """``None`` for all of them."""
    named = values[HOSTS]
    if ALL in named or (not named and values[TOP] is not None):
        return None
    return [ask.deps.directory.find(name, ask.now_ms).host_id for name in named or [None]]


async def _series(
    ask: Ask, metric: str, hosts: list[str] | None, aggregate: str, how: Plan, top: int | None
) -> list[Series]:
    if top is None:
        return await ask.deps.history.series(metric, hosts, aggregate, how)
    chosen = await ask.deps.history.greatest(metric, hosts, aggregate, how, top)
    if not chosen:
        return []
    series = await ask.deps.history.series(metric, sorted({host for host, _ in chosen}), aggregate, how)
    by_key = {(s.host_id, s.label): s for s in series}
    return [by_key[key] for key in chosen if key in by_key]


def _shape(ask: Ask, series: Series) -> dict[str, Any]:
    host = ask.deps.live.get(series.host_id)
    return {
        "host": host.name if host else series.host_id,
        "host_id": series.host_id,
        "metric": series.metric,
        "labels": series.labels,
        "points": series.points,
    }


ROUTES = [
    Route(
        "GET",
        "/api/system/history/",
        history,
        "read",
        "Metrics over time",
        "history",
        data=shapes.HistoryAnswer,
        example={
            "series": [
                {
                    "host": "web-1",
                    "host_id": "4f1d2c3b5a69788796a5b4c3d2e1f001",
                    "metric": "cpu.percent",
                    "labels": {},
                    "points": [[1769947200000, 23.4], [1769947260000, 21.9]],
                }
            ],
            "step": 60,
            "tier": "1m",
        },
        parameters=(METRIC_NAMES, HOSTS, FROM, TO, STEP, AGG, TOP),
        description="Points are `[epoch milliseconds, value]`, each at the start of its step; a step without readings "
        "has no point. `tier` says what they were made of: readings (`raw`), minute or hour rollups. A step is widened "
        "to whole minutes or hours where only rollups are kept that far back. `host=*` asks for all hosts.",
        refusals=(404, 503),
    )
]
