"""The completeness ledger: what is noted of samples as they come, and how an hour of it is computed.

Only what is out of the ordinary is noted: a sample that comes at once, from an agent that lost nothing, leaves nothing
here. Notes are facts of an event and its message, keyed so that the same message again, or another order, changes
nothing (docs/adr/0006-completeness-ledger.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from services.ingest.dead_letters import LATEST_MS, DeadLetter
from shared.runtime import selfmetrics
from shared.schemas.sample import HostSample
from shared.store.ledger import FLEET, fleet_span
from shared.store.port import Store

LATE_MS = 30_000
HOUR_MS = 3_600_000

_encode = msgspec.json.Encoder().encode


class Arrival(NamedTuple):
    """A sample that was late (``late_ms`` above 0) or waited on its agent's disk."""

    host_id: str
    ts: int
    run: int
    late_ms: int
    backfilled: bool
    line: bytes


@dataclass
class Notes:
    """Of one batch. ``drops``: (hour since 1970, host, run, reason) -> the most that was given up until then."""

    arrivals: list[Arrival] = field(default_factory=list)
    drops: dict[tuple[int, str, int, str], int] = field(default_factory=dict)

    def arrived(self, sample: HostSample, line: bytes, sent_ms: int, spooled: bool) -> None:
        """``sent_ms`` is the message's time, by the same clock as the sample's."""
        delay = sent_ms - sample.ts
        late_ms = min(delay, LATEST_MS) if delay > LATE_MS else 0
        self.arrivals.append(Arrival(sample.host_id, sample.ts, sample.run, late_ms, spooled, line))

    def dropped(self, sample: HostSample) -> None:
        """The sample carries what its agent gave up since its start."""
        assert sample.agent is not None
        hour = sample.ts // HOUR_MS
        for reason, events in sample.agent.dropped.items():
            key = (hour, sample.host_id, sample.run, reason)
            self.drops[key] = max(events, self.drops.get(key, 0))


async def store_notes(store: Store, notes: Notes, dead: Sequence[DeadLetter]) -> None:
    """Durable on return; the same again changes nothing. What is among the ``dead`` has not arrived.

    Raises ``StoreError``.
    """
    gone = {id(letter.line) for letter in dead}
    arrivals = [a for a in notes.arrivals if id(a.line) not in gone]
    if arrivals:
        await _insert(store, "arrivals", map(_arrival_row, arrivals))
        selfmetrics.INGEST_LATE.add(sum(1 for a in arrivals if a.late_ms))
        selfmetrics.INGEST_BACKFILLED.add(sum(1 for a in arrivals if a.backfilled))
    if notes.drops:
        await _insert(
            store,
            "agent_drops",
            [
                {"hour": hour * 3600, "host_id": host_id, "run": run, "reason": reason, "events": events}
                for (hour, host_id, run, reason), events in notes.drops.items()
            ],
        )


async def report(store: Store, now_ms: int) -> None:
    """The last 24 hours of all hosts, as two numbers. Raises ``StoreError``."""
    missing = [expected - stored for _, expected, stored, *_ in await store.query(FLEET, fleet_span(now_ms))]
    selfmetrics.HOST_MISSING_EVENTS.set(sum(missing))
    selfmetrics.HOSTS_INCOMPLETE.set(sum(1 for m in missing if m))


async def _insert(store: Store, table: str, rows: Iterable[dict[str, Any]]) -> None:
    await store.insert_lines(table, b"\n".join(map(_encode, rows)))


def _arrival_row(a: Arrival) -> dict[str, Any]:
    return {
        "ts": _seconds(a.ts),
        "host_id": a.host_id,
        "run": a.run,
        "late_ms": a.late_ms,
        "backfilled": int(a.backfilled),
    }


def _seconds(ms: int) -> str:
    """As ClickHouse reads a ``DateTime64(3)`` without doubt."""
    return f"{ms // 1000:010d}.{ms % 1000:03d}"


COMPLETENESS = """
INSERT INTO completeness
    (host_id, hour, run, stored, first_seq, last_seq, late, backfilled, dropped, computed_at, version)
SELECT
    host_id,
    hour,
    run,
    sum(there) AS stored,
    min(low),
    max(high),
    sum(delayed),
    sum(spooled),
    maxMap(given_up),
    now64(3),
    bitShiftLeft(stored, 32) + toUnixTimestamp(now())
FROM
(
    SELECT
        host_id, toStartOfHour(ts) AS hour, run,
        count() AS there, min(seq) AS low, max(seq) AS high,
        0 AS delayed, 0 AS spooled, CAST(map(), 'Map(String, UInt64)') AS given_up
    FROM samples FINAL
    WHERE ts >= toDateTime64({since:UInt32}, 3, 'UTC') AND ts < toDateTime64({until:UInt32}, 3, 'UTC')
        AND host_id IN {hosts:Array(String)}
    GROUP BY host_id, hour, run
    UNION ALL
    SELECT
        host_id, toStartOfHour(ts) AS hour, run,
        0, 18446744073709551615, 0,
        countIf(late_ms > 0), countIf(backfilled > 0), CAST(map(), 'Map(String, UInt64)')
    FROM arrivals FINAL
    WHERE ts >= toDateTime64({since:UInt32}, 3, 'UTC') AND ts < toDateTime64({until:UInt32}, 3, 'UTC')
        AND host_id IN {hosts:Array(String)}
    GROUP BY host_id, hour, run
    UNION ALL
    SELECT
        host_id, hour, run,
        0, 18446744073709551615, 0,
        0, 0, CAST(map(toString(reason), events), 'Map(String, UInt64)')
    FROM agent_drops FINAL
    WHERE hour >= toDateTime({since:UInt32}, 'UTC') AND hour < toDateTime({until:UInt32}, 'UTC')
        AND host_id IN {hosts:Array(String)}
)
GROUP BY host_id, hour, run
HAVING stored > 0
SETTINGS do_not_merge_across_partitions_select_final = 1, max_threads = 2"""
"""Computes the ledger's hours from ``{since}`` to ``{until}`` (epoch seconds, whole hours) for ``{hosts}``."""
