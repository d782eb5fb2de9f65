"""Samples out of the store as the models saw them live: features by instant, in order of time.

Two things differ from then: values are rounded as they are stored, and of a kind with more than eight devices the
first eight by name are taken, since the store does not know in which order the agent named them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from services.detector.features import MAX_OF_A_KIND, WATCHED, is_virtual
from services.detector.judge import Host
from services.history.statements import statement
from shared.runtime.settings import SettingsError
from shared.store.port import Store
from shared.store.tables import COLUMNS, Column

AT_ONCE_MS = 2 * 3_600_000
_HOUR_MS = 3_600_000
_LABELS = {"temperatures": "concat(sensor, '/', label)"}


@dataclass(frozen=True)
class Reading:
    ts_ms: int
    features: dict[str, float]


async def hosts(store: Store, wanted: Sequence[str]) -> list[Host]:
    """By name or id; all of them where none is named."""
    rows = await store.query(statement("hosts"), {"hosts": list(wanted)})
    return [Host(host_id, name, dict(labels)) for host_id, name, labels in rows]


async def hosts_meant(store: Store, wanted: Sequence[str]) -> list[Host]:
    """The same. Raises ``SettingsError`` on a name or id that nobody has."""
    found = await hosts(store, wanted)
    known = {name for host in found for name in (host.host_id, host.name)}
    if unknown := [name for name in wanted if name not in known]:
        raise SettingsError(f"--host: nobody called {unknown[0]!r} is in the store")
    return found


async def readings(
    store: Store, host_id: str, start_ms: int, end_ms: int, metrics: Sequence[str] = WATCHED
) -> AsyncIterator[list[Reading]]:
    """Piece by piece; ``end_ms`` is not part of it. ``metrics``: of the catalogue. Raises ``StoreError``."""
    for at in range(start_ms, end_ms, AT_ONCE_MS):
        until = min(at + AT_ONCE_MS, end_ms)
        found: dict[int, dict[str, float]] = defaultdict(dict)
        for table, columns in _by_table(tuple(metrics)).items():
            rows = await store.query(
                statement(
                    "rows", table=table, label=_label(columns[0]), columns=", ".join(_column(c) for c in columns)
                ),
                {
                    "host": host_id,
                    "from": at,
                    "to": until,
                    "first_hour": at // _HOUR_MS * 3600,
                    "last_hour": (until - 1) // _HOUR_MS * 3600,
                },
            )
            _merge(found, columns, rows)
        yield [Reading(ts, found[ts]) for ts in sorted(found)]


def _merge(found: dict[int, dict[str, float]], columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> None:
    taken: dict[int, int] = defaultdict(int)
    for at, label, *values in rows:
        if columns[0].label is not None:
            if columns[0].table == "network" and is_virtual(label):
                continue
            taken[at] += 1
            if taken[at] > MAX_OF_A_KIND:
                continue
        suffix = f"{{{label}}}" if columns[0].label is not None else ""
        of_instant = found[at]
        for column, value in zip(columns, values, strict=True):
            if value is not None:
                of_instant[column.metric + suffix] = value / column.factor


@cache
def _by_table(metrics: tuple[str, ...]) -> dict[str, list[Column]]:
    found: dict[str, list[Column]] = defaultdict(list)
    for name in metrics:
        found[COLUMNS[name].table].append(COLUMNS[name])
    return found


def _label(column: Column) -> str:
    return _LABELS.get(column.table) or (f"toString({column.label})" if column.label else "''")


def _column(column: Column) -> str:
    """``NULL`` where the section was not there."""
    if column.bit is not None:
        return f"if(bitTest(sections, {column.bit}), {column.column}, NULL)"
    if column.table == "gpus":
        return f"if(id != 65535, {column.column}, NULL)"
    return column.column
