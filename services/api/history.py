"""Series of a metric over time, from the tier the plan names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.api.history_plan import Plan
from services.api.queries import Queries
from services.api.statements import statement
from shared.schemas.metrics import BY_NAME
from shared.store.tables import COLUMNS

AGGREGATES = ("avg", "min", "max", "p50", "p95", "p99", "last", "sum", "count")
_WHOSE = {False: "host_id IN {hosts:Array(String)}", True: "1"}
_RAW = {
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
# Quantiles of several minutes are their mean, weighted by their counts: exact for one minute, close for more.
_COMBINED = {
    "avg": "sum(total) / sum(n)",
    "min": "min(low)",
    "max": "max(high)",
    "p50": "sum(q50 * n) / sum(n)",
    "p95": "sum(q95 * n) / sum(n)",
    "p99": "sum(q99 * n) / sum(n)",
    "last": "argMax(newest, at)",
    "sum": "sum(total)",
    "count": "sum(n)",
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
        """One series a host and label; ``hosts`` None means all. Raises ``ApiError`` 503."""
        rows = await self._queries.rows(*_question(metric, hosts, aggregate, plan, plan.step * 1000, "ORDER BY 1, 2"))
        return [Series(host, metric, label, list(zip(at, values, strict=True))) for host, label, at, values in rows]

    async def greatest(
        self, metric: str, hosts: Sequence[str] | None, aggregate: str, plan: Plan, most: int
    ) -> list[tuple[str, str]]:
        """``(host, label)`` of the ``most`` series whose value over the whole range is greatest, in order."""
        # One bucket that holds the whole range: times are below this step's first multiple.
        sql, parameters = _question(
            metric, hosts, aggregate, plan, 1 << 50, "ORDER BY points[1] DESC, 1, 2 LIMIT {most:UInt32}"
        )
        return [(host, label) for host, label, *_ in await self._queries.rows(sql, parameters | {"most": most})]


def _question(
    metric: str, hosts: Sequence[str] | None, aggregate: str, plan: Plan, step_ms: int, finish: str
) -> tuple[str, dict[str, Any]]:
    column = COLUMNS[metric]
    names = {
        "table": column.table,
        "label": column.label or "''",
        "whose": _WHOSE[hosts is None],
        "present": _present(metric),
        "digits": str(BY_NAME[metric].decimals + 2),
        "finish": finish,
    }
    parameters: dict[str, Any] = {"from": plan.start, "to": plan.end, "step": step_ms}
    if hosts is not None:
        parameters["hosts"] = list(hosts)
    if plan.tier == "raw":
        raw = _RAW[aggregate].format(c=column.column, f=column.factor)
        return statement("history_raw", raw=raw, **names), parameters
    parameters |= {"metric": metric, "hours_until": plan.hours_until, "minutes_until": plan.minutes_until}
    names |= {"column": column.column, "factor": str(column.factor)}
    return statement("history_rollup", combined=_COMBINED[aggregate], **names), parameters


def _present(metric: str) -> str:
    column = COLUMNS[metric]
    if column.bit is not None:
        return f"bitTest(sections, {column.bit})"
    if column.table == "gpus":
        return f"id != 65535 AND isNotNull({column.column})"
    return "1"
