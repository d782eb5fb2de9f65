"""Evidence from the store: what came before, logs, processes, the last time.

The store is a few seconds behind and may be away: what it has within the time is shown, and the alert's own words are
always there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from pydantic import TypeAdapter

from services.alerter.evaluation.wording import process
from services.alerter.evidence.port import Gathered, LogLine, Similar
from services.alerter.rules.rule import Language
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Contribution
from shared.store.port import Store, StoreError
from shared.store.tables import COLUMNS, Column

log = logging.getLogger(__name__)

WITHIN_S = 2.0
BEFORE_MS = 1_800_000
LONGEST_MS = 6 * 3_600_000
LOGS_BEFORE_MS = 120_000
LOGS_AFTER_MS = 300_000
SIMILAR_MS = 90 * 86_400_000
_MOST_POINTS = 240
_STEPS_MS = (1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000)
_HOUR_MS = 3_600_000
_BY_MEMORY = ("memory", "swap")
_BY_CPU = ("cpu", "pressure", "processes", "score")

HERE = Path(__file__).with_name("sql")
_contributions = TypeAdapter(list[Contribution])


class Stored:
    """Asks one question at a time, on one handle, which is opened when it is needed and again after it failed."""

    def __init__(
        self, open_store: Callable[[], Awaitable[Store]], language: Language = "en", *, within_s: float = WITHIN_S
    ) -> None:
        self._open_store = open_store
        self._language = language
        self._within_s = within_s
        self._store: Store | None = None
        self._one = asyncio.Lock()

    async def gather(self, alert: Alert, now_ms: int) -> Gathered:
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(self._within_s), self._one:
                await self._ask(alert, now_ms, found)
        except TimeoutError:
            log.warning("evidence took too long: what there is is shown", extra={"alert": alert.alert_id})
        except StoreError as error:
            log.warning("the store gives no evidence", extra={"alert": alert.alert_id, "reason": str(error)})
            await self.close()
        except Exception:
            log.exception("evidence could not be gathered", extra={"alert": alert.alert_id})
        return Gathered(**found)

    async def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    async def _ask(self, alert: Alert, now_ms: int, found: dict[str, Any]) -> None:
        """Fills ``found`` with what is known so far, the most telling first."""
        column, instance, own = await self._shown(alert, found)
        if column is not None:
            found |= {"metric": column.metric, "instance": instance}
            found["points"] = _completed(await self._points(alert, now_ms, column, instance, found), own)
        found["similar"] = await self._similar(alert)
        found["logs"] = await self._logs(alert, now_ms)
        if "top_processes" not in alert.annotations:
            found["processes"] = await self._processes(alert)

    async def _shown(self, alert: Alert, found: dict[str, Any]) -> tuple[Column | None, str, tuple[int, float] | None]:
        """The metric that tells most, its instance, and what is known of its newest value."""
        if alert.labels.get("condition") == "anomaly":
            worst = await self._worst(alert)
            if worst is not None:
                at, contribution = worst
                found["expected"] = (contribution.expected_low, contribution.expected_high)
                instance = next(iter(contribution.labels.values()), "")
                return COLUMNS[contribution.metric], instance, (at, contribution.value)
            # The store may not have it yet; the alert names what tells most first.
            named = COLUMNS.get(alert.annotations.get("contributions", "").partition(" ")[0])
            if named is not None and not named.label:
                return named, "", None
            found["threshold"] = alert.threshold
            return COLUMNS.get("host.score"), "", _own(alert)
        column = COLUMNS.get(alert.labels.get("metric", ""))
        if column is None:
            return None, "", None
        instance = alert.labels.get(column.label, "") if column.label else ""
        if alert.labels.get("condition") != "metric":
            return column, instance, None  # its value is something else: hours until full, seconds of silence
        found["threshold"] = alert.threshold
        return column, instance, _own(alert)

    async def _worst(self, alert: Alert) -> tuple[int, Contribution] | None:
        if not alert.anomaly_id:
            return None
        since = alert.started_at - 86_400_000
        rows = await self._query("anomaly", {"anomaly_id": alert.anomaly_id, "since": since})
        if not rows:
            return None
        at, text = rows[0]
        known = [c for c in _contributions.validate_json(text or "[]") if c.metric in COLUMNS]
        return (int(at), max(known, key=lambda c: c.share)) if known else None

    async def _points(
        self, alert: Alert, now_ms: int, column: Column, instance: str, found: Mapping[str, Any]
    ) -> list[tuple[int, float]]:
        until = min(now_ms, (alert.ended_at or now_ms) + BEFORE_MS // 3)
        start = max(alert.started_at - BEFORE_MS, until - LONGEST_MS)
        step = next((s for s in _STEPS_MS if (until - start) / s <= _MOST_POINTS), _STEPS_MS[-1])
        if column.label:
            present = f"toString({column.label}) = {{instance:String}}"
        else:
            present = f"bitTest(sections, {column.bit})" if column.bit is not None else "1"
        rows = await self._query(
            "points",
            {"host_id": alert.host_id, "step": step, "instance": instance, **_stretch(start, until)},
            worst=_worse(alert, found),
            column=column.column,
            factor=str(column.factor),
            table=column.table,
            present=present,
        )
        return [(int(at), float(value)) for at, value in rows]

    async def _logs(self, alert: Alert, now_ms: int) -> tuple[LogLine, ...]:
        start, until = alert.started_at - LOGS_BEFORE_MS, min(now_ms, alert.started_at + LOGS_AFTER_MS)
        parameters = {"host_id": alert.host_id, "about": alert.started_at, **_stretch(start, until)}
        rows = await self._query("logs", parameters)
        return tuple(LogLine(int(at), level, source, text) for at, level, source, text in sorted(rows))

    async def _similar(self, alert: Alert) -> Similar | None:
        rows = await self._query(
            "similar",
            {
                "fingerprint": alert.fingerprint,
                "alert_id": alert.alert_id,
                "before": alert.started_at,
                "since": alert.started_at - SIMILAR_MS,
            },
            worst=_worse(alert, {"threshold": alert.threshold}),
        )
        return Similar(*rows[0]) if rows else None

    async def _processes(self, alert: Alert) -> tuple[str, ...]:
        kind = alert.labels.get("metric", "score").partition(".")[0]
        column = "memory_percent" if kind in _BY_MEMORY else "cpu_percent"
        if kind not in (*_BY_CPU, *_BY_MEMORY) or alert.labels.get("condition") in ("silent", "absent"):
            return ()
        parameters = {"host_id": alert.host_id, **_stretch(alert.ts - 300_000, alert.ts)}
        rows = await self._query("processes", parameters, column=column)
        return tuple(process(self._language, name, pid, cpu, memory) for pid, name, cpu, memory in rows)

    async def _query(self, name: str, parameters: Mapping[str, Any], **names: str) -> list[tuple[Any, ...]]:
        """``names`` are ours: tables and columns of the catalogue."""
        if self._store is None:
            self._store = await self._open_store()
        sql = Template((HERE / f"{name}.sql").read_text("utf-8")).substitute(names)
        return await self._store.query(sql, parameters, timeout=self._within_s)


def _worse(alert: Alert, found: Mapping[str, Any]) -> str:
    """Which end of the values is the bad one."""
    threshold, expected = found.get("threshold"), found.get("expected")
    if threshold is None and expected:
        threshold = expected[0]
    low = alert.value is not None and threshold is not None and alert.value < threshold
    return "min" if low and alert.state == "firing" else "max"


def _own(alert: Alert) -> tuple[int, float] | None:
    return None if alert.value is None else (alert.ts, alert.value)


def _completed(points: list[tuple[int, float]], newest: tuple[int, float] | None) -> tuple[tuple[int, float], ...]:
    """The newest value may not be stored yet, but the alert knows it."""
    if newest is not None and (not points or newest[0] > points[-1][0]):
        points = [*points, newest]
    return tuple(points)


def _stretch(start: int, until: int) -> dict[str, int]:
    return {
        "from": start,
        "to": until,
        "first_hour": start // _HOUR_MS * 3600,
        "last_hour": until // _HOUR_MS * 3600,
    }
