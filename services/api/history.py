"""Series of a metric over time, from the tiers the plan names."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.api.history_plan import Plan, Stretch
from services.api.queries import Queries
from services.api.statements import statement
from shared.schemas.metrics import BY_NAME
from shared.store.tables import COLUMNS

AGGREGATES = ("avg", "min", "max", "p50", "p95", "p99", "last", "sum", "count")
_EVERYTHING_MS = 1 << 50
"""A step so wide that its first bucket holds all time."""

_OF_READINGS = {
    "avg": "avg({c}) / {f}",
    "min": "min({c}) / {f}",
    "max": "max({c}) / {f}",
    "p50": "quantile(0.5)({c}) / {f}",
    "p95": "quantile(0.95)({c}) / {f}",
    "p99": "quantile(0.99)({c}) / {f}",
    "last": "argMax({c}, ts) / {f}",
    "sum": "sum({c}) / {f}",
    "count": "toFloat64(count())",
}
# `r` is the rollup's table: its columns are named like the functions over them.
_OF_ROLLUPS = {
    "avg": "sum(r.avg * r.count) / sum(r.count)",
    "min": "min(r.min)",
    "max": "max(r.max)",
    "p50": "sum(r.p50 * r.count) / sum(r.count)",
    "p95": "sum(r.p95 * r.count) / sum(r.count)",
    "p99": "sum(r.p99 * r.count) / sum(r.count)",
    "last": "argMax(r.last, r.ts)",
    "sum": "sum(r.avg * r.count)",
    "count": "toFloat64(sum(r.count))",
}
_OF_ONE_ROLLUP = {a: f"r.{a}" for a in AGGREGATES} | {"sum": "r.avg * r.count", "count": "toFloat64(r.count)"}
_START = "toUnixTimestamp(r.ts) * 1000"
_GRAIN_MS = {"1m": 60_000, "1h": 3_600_000}

_MANY = 20_000
"""Rows from which on they are put together off the event loop."""

Weighted = tuple[float, int]
"""A bucket's value, and how many readings are behind it."""


def _mean(a: Weighted, b: Weighted) -> float:
    return (a[0] * a[1] + b[0] * b[1]) / (a[1] + b[1])


# Two tiers meet inside a bucket: the earlier part comes first. Quantiles of parts are averaged by their counts.
_MEET: dict[str, Callable[[Weighted, Weighted], float]] = {
    "avg": _mean,
    "min": lambda a, b: min(a[0], b[0]),
    "max": lambda a, b: max(a[0], b[0]),
    "p50": _mean,
    "p95": _mean,
    "p99": _mean,
    "last": lambda a, b: b[0],
    "sum": lambda a, b: a[0] + b[0],
    "count": lambda a, b: a[0] + b[0],
}


@dataclass(frozen=True)
class Series:
    host_id: str
    metric: str
    label: str
    points: list[tuple[int, float]]

    @property
    def labels(self) -> dict[str, str]:
        key = COLUMNS[self.metric].label
        return {key: self.label} if key else {}


class History:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def series(self, metric: str, hosts: Sequence[str] | None, aggregate: str, plan: Plan) -> list[Series]:
        """One series a host and label, in their order; ``hosts`` None means all. Raises ``ApiError`` 503."""
        buckets = await self._buckets(metric, hosts, aggregate, plan.stretches, plan.step * 1000)
        digits = BY_NAME[metric].decimals + 2
        return [
            Series(host, metric, label, [(at, round(value, digits)) for at, (value, _) in of_one.items()])
            for (host, label), of_one in sorted(buckets.items())
        ]

    async def greatest(
        self, metric: str, hosts: Sequence[str] | None, aggregate: str, plan: Plan, most: int
    ) -> list[tuple[str, str]]:
        """``(host, label)`` of the ``most`` series whose value over the whole range is greatest, in order."""
        buckets = await self._buckets(metric, hosts, aggregate, plan.stretches, _EVERYTHING_MS)
        ranked = sorted(buckets, key=lambda key: (-next(iter(buckets[key].values()))[0], key))
        return ranked[:most]

    async def _buckets(
        self, metric: str, hosts: Sequence[str] | None, aggregate: str, stretches: Sequence[Stretch], step_ms: int
    ) -> dict[tuple[str, str], dict[int, Weighted]]:
        only = _only_series(metric, hosts)
        parts = await asyncio.gather(
            *(self._queries.rows(*question(metric, hosts, aggregate, s, step_ms)) for s in stretches)
        )
        if sum(map(len, parts)) > _MANY:
            return await asyncio.to_thread(_met, parts, _MEET[aggregate], only)
        return _met(parts, _MEET[aggregate], only)


Key = tuple[str, str]
"""Host and label."""


def _met(
    parts: Sequence[Sequence[tuple[Any, ...]]], meet: Callable[[Weighted, Weighted], float], only: Key | None
) -> dict[Key, dict[int, Weighted]]:
    """Rows of consecutive tiers, by host and label and bucket; the buckets of each in their order."""
    found: dict[Key, dict[int, Weighted]] = defaultdict(dict)
    for rows in parts:
        for key, points in _by_series(rows, only):
            of_one = found[key]
            for bucket, value, n in points:
                known = of_one.get(bucket)
                of_one[bucket] = (value, n) if known is None else (meet(known, (value, n)), known[1] + n)
    return {key: dict(sorted(of_one.items())) for key, of_one in found.items()}


def _by_series(rows: Sequence[tuple[Any, ...]], only: Key | None) -> Iterable[tuple[Key, Sequence[tuple[Any, ...]]]]:
    if only is not None:
        return [(only, rows)] if rows else []
    found: dict[Key, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        found[row[0], row[1]].append(row[2:])
    return found.items()


def _only_series(metric: str, hosts: Sequence[str] | None) -> Key | None:
    """What need not be said in every row, because it is known."""
    return (hosts[0], "") if hosts is not None and len(hosts) == 1 and not COLUMNS[metric].label else None


def question(
    metric: str, hosts: Sequence[str] | None, aggregate: str, stretch: Stretch, step_ms: int
) -> tuple[str, dict[str, Any]]:
    """SQL and parameters. Rows are ``(host, label, bucket, value, n)``, without the first two where there can be but
    one series.
    """
    whose, parameters, threads = _whose(hosts)
    of_tier = _of_readings if stretch.tier == "raw" else _of_rollups
    several = _only_series(metric, hosts) is None
    sql, more = of_tier(metric, aggregate, stretch, step_ms, several, whose=whose, threads=threads)
    return sql, parameters | more


def _of_readings(
    metric: str, aggregate: str, stretch: Stretch, step_ms: int, several: bool, **names: str
) -> tuple[str, dict[str, Any]]:
    column = COLUMNS[metric]
    label = f"toString({column.label})" if column.label else "''"
    sql = statement(
        "history_raw",
        table=column.table,
        keys=f"host_id, {label} AS label," if several else "",
        value=_OF_READINGS[aggregate].format(c=column.column, f=column.factor),
        present=_present(metric),
        group="host_id, label, bucket" if several else "bucket",
        **names,
    )
    return sql, {
        "from": stretch.start,
        "to": stretch.end,
        "first_hour": stretch.start // 3_600_000 * 3600,
        "last_hour": stretch.end // 3_600_000 * 3600,
        "step": step_ms,
    }


def _of_rollups(
    metric: str, aggregate: str, stretch: Stretch, step_ms: int, several: bool, **names: str
) -> tuple[str, dict[str, Any]]:
    span = {"metric": metric, "from": stretch.start // 1000, "to": stretch.end // 1000}
    keys = "host_id, r.label AS label," if several else ""
    names |= {"table": f"rollup_{stretch.tier}", "keys": keys}
    if step_ms == _GRAIN_MS[stretch.tier]:
        value = _OF_ONE_ROLLUP[aggregate]
        return statement("history_rollup", bucket=_START, value=value, n="r.count", group="", **names), span
    sql = statement(
        "history_rollup",
        bucket=f"intDiv({_START}, {{step:Int64}}) * {{step:Int64}}",
        value=_OF_ROLLUPS[aggregate],
        n="sum(r.count)",
        group=f"GROUP BY {'host_id, label, ' if several else ''}bucket",
        **names,
    )
    return sql, span | {"step": step_ms}


def _whose(hosts: Sequence[str] | None) -> tuple[str, dict[str, Any], str]:
    """A condition, its parameters, and how many threads are worth starting for so many (0: the store decides)."""
    if hosts is None:
        return "1", {}, "0"
    if len(hosts) == 1:
        return "host_id = {host:String}", {"host": hosts[0]}, "1"
    # For a few hosts starting threads costs more than they do.
    return "host_id IN {hosts:Array(String)}", {"hosts": list(hosts)}, "1" if len(hosts) <= 5 else "0"


def _present(metric: str) -> str:
    column = COLUMNS[metric]
    if column.bit is not None:
        return f"bitTest(sections, {column.bit})"
    if column.table == "gpus":
        return f"id != 65535 AND isNotNull({column.column})"
    return "1"
