"""The SQL of the rollups, made from ``shared.store.tables``.

Wide first, narrow last: one pass over a base table computes every metric's figures side by side, and only the finished
rows, one a metric, are unfolded into the rollup table. FINAL makes repeats of an event count once. The hours are there
because the tables' keys begin with them: from times alone ClickHouse would read all of the day, every minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
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
    together: dict[str, list[Column]] = defaultdict(list)
    for column in columns:
        together[_there(column)].append(column)
    computed, figures = [], []
    for number, (there, group) in enumerate(together.items()):
        computed += _computed(number, there, group)
        figures.append(_figures(number, group))
    if table == "samples":
        computed.append("count() AS events")
        figures.append(f"[('{EVENTS_METRIC}', events, 1., 1., 1., 1., {_NO_QUANTILES})]")
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
        {_lines(computed)}
    FROM {table} FINAL
    WHERE ts >= toDateTime64({{since:UInt32}}, 3, 'UTC') AND ts < toDateTime64({{until:UInt32}}, 3, 'UTC')
        AND toStartOfHour(ts) >= intDiv({{since:UInt32}}, 3600) * 3600 AND toStartOfHour(ts) <= {{until:UInt32}}
        AND host_id IN {{hosts:Array(String)}}{where}
    GROUP BY host_id, label, bucket
)
ARRAY JOIN arrayConcat(
        {_lines(figures)}
    ) AS f
WHERE f.2 > 0
SETTINGS do_not_merge_across_partitions_select_final = 1, compile_aggregate_expressions = 0, max_threads = 2"""  # noqa: S608


def _there(column: Column) -> str:
    """Where this is true, a row has a value in the column."""
    if column.bit is not None:
        return f"bitTest(sections, {column.bit})"
    return f"isNotNull({column.column})" if column.optional else "1"


def _computed(number: int, there: str, group: Sequence[Column]) -> list[str]:
    """The figures of columns that are there together, as arrays: five aggregates in all are half the work of five for
    each column, most of which is to understand the statement.
    """
    values = _array(f"toFloat64(assumeNotNull({c.column}))" for c in group)
    quantiles = _array(
        f"arrayMap(q -> q / {c.factor}, quantilesExactInclusiveIf(0.5, 0.95, 0.99)(assumeNotNull({c.column}), {there}))"
        if c.important
        else _NO_QUANTILES
        for c in group
    )
    return [
        f"countIf({there}) AS count{number}",
        f"minForEachIf({values} AS values{number}, {there}) AS min{number}",
        *(f"{f}ForEachIf(values{number}, {there}) AS {f}{number}" for f in ("max", "avg")),
        f"argMaxIf(values{number}, ts, {there}) AS last{number}",
        f"{quantiles} AS quantiles{number}",
    ]


def _figures(number: int, group: Sequence[Column]) -> str:
    """Of each column ``(metric, count, min, max, avg, last, [p50, p95, p99])``, fixed point undone. The arrays are
    empty where none of the columns was ever there.
    """
    names = _array(f"'{c.metric}'" for c in group)
    factors = _array(f"{c.factor}" for c in group)
    places = _array(str(place) for place in range(1, len(group) + 1))
    undone = ", ".join(f"{f}{number}[i] / factor" for f in ("min", "max", "avg", "last"))
    return (
        f"arrayMap((metric, factor, i) -> (metric, count{number}, {undone}, quantiles{number}[i]), "
        f"{names}, {factors}, {places})"
    )


def _array(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _lines(items: Iterable[str]) -> str:
    return ",\n        ".join(items)


assert set(SECTION_BITS.values()) <= set(range(8))  # `sections` is a UInt8
