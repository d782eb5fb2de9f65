"""The SQL of the rollups, made from ``shared.store.tables``.

Wide first, narrow last: one pass over a base table computes every metric's figures side by side, and only the finished
rows, one a metric, are unfolded into the rollup table. FINAL makes repeats of an event count once. The hours are there
because the tables' keys begin with them: from times alone ClickHouse would read all of the day, every minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.ingest.ledger import COMPLETENESS
from shared.store.tables import COLUMNS, SECTION_BITS, Column

Tier = Literal["rollup_1m", "rollup_1h"]
BUCKETS: dict[Tier, str] = {"rollup_1m": "toStartOfMinute(ts)", "rollup_1h": "toStartOfHour(ts)"}

EVENTS_METRIC = "host.samples"
"""Counts a host's events, for completeness; in no catalogue, since it is no number of the host's own."""

OF_SCORES = ("scores", "metric_scores")

_NO_QUANTILES = "[0., 0., 0.]"


@dataclass(frozen=True)
class Statement:
    """Computes what ``base`` holds from ``{since}`` (inclusive) to ``{until}`` (epoch seconds) for ``{hosts}``."""

    base: str
    sql: str


def statements(base: str, tier: Tier) -> list[Statement]:
    """Those that bring ``tier`` up to date after events touched ``base``: ``samples`` or ``scores``, each with its
    sisters.
    """
    sisters = [t for t in dict.fromkeys(c.table for c in COLUMNS.values()) if (t in OF_SCORES) == (base in OF_SCORES)]
    tables = [base, *(t for t in sisters if t != base)]
    rollups = [Statement(table, _statement(table, tier)) for table in tables]
    if base == "samples" and tier == "rollup_1h":
        # First: where there is a rollup of an hour's samples, `find_stale` believes all of the hour computed.
        return [Statement("samples", COMPLETENESS), *rollups]
    return rollups


def _statement(table: str, tier: Tier) -> str:
    columns = [c for c in COLUMNS.values() if c.table == table]
    label = next((c.label for c in columns if c.label), None)
    figures = [_figure(c) for c in columns]
    if table == "samples":
        figures.insert(0, f"('{EVENTS_METRIC}', count(), 1., 1., 1., 1., {_NO_QUANTILES})")
    where = " AND reason = ''" if table == "gpus" else ""
    return f"""
INSERT INTO {tier} (metric, host_id, label, ts, count, min, max, avg, last, p50, p95, p99, computed_at, version)
SELECT
    f.1, host_id, label, bucket, f.2, f.3, f.4, f.5, f.6, f.7[1], f.7[2], f.7[3],
    now64(3) AS computed_at, bitShiftLeft(toUInt64(f.2), 32) + toUnixTimestamp(now())
FROM
(
    SELECT
        host_id,
        {f"toString({label})" if label else "''"} AS label,
        {BUCKETS[tier]} AS bucket,
        [
            {(chr(10) + "            ").join(figure + "," for figure in figures).rstrip(",")}
        ] AS figures
    FROM {table} FINAL
    WHERE ts >= toDateTime64({{since:UInt32}}, 3, 'UTC') AND ts < toDateTime64({{until:UInt32}}, 3, 'UTC')
        AND toStartOfHour(ts) >= intDiv({{since:UInt32}}, 3600) * 3600 AND toStartOfHour(ts) <= {{until:UInt32}}
        AND host_id IN {{hosts:Array(String)}}{where}
    GROUP BY host_id, label, bucket
)
ARRAY JOIN figures AS f
WHERE f.2 > 0
SETTINGS do_not_merge_across_partitions_select_final = 1, compile_aggregate_expressions = 0, max_threads = 2"""  # noqa: S608


def _figure(column: Column) -> str:
    """``(metric, count, min, max, avg, last, [p50, p95, p99])``, fixed point undone."""
    name, factor = column.column, column.factor
    there = f"bitTest(sections, {column.bit})" if column.bit is not None else f"isNotNull({name})"
    value = f"toFloat64(assumeNotNull({name}))"
    quantiles = (
        f"arrayMap(q -> q / {factor}, quantilesExactInclusiveIf(0.5, 0.95, 0.99)(assumeNotNull({name}), {there}))"
        if column.important
        else _NO_QUANTILES
    )
    figures = [
        f"countIf({there})",
        *(f"{f}If({value}, {there}) / {factor}" for f in ("min", "max", "avg")),
        f"argMaxIf({value}, ts, {there}) / {factor}",
    ]
    return f"('{column.metric}', {', '.join(figures)}, {quantiles})"


assert set(SECTION_BITS.values()) <= set(range(8))  # `sections` is a UInt8
