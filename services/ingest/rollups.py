"""Rollups: what a chart of days is drawn from, recomputed for every closed minute and hour that was touched.

Not added up as events arrive, because then a repeat would count twice; computed from what is stored, as often as
needed, and each computation replaces the one before. A minute that could not be computed, or that was stored by a
process that then died, is found by ``find_stale`` from what the tables say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping

from services.ingest.ledger import report
from services.ingest.rollup_plan import Span, spans
from services.ingest.rollup_sql import EVENTS_METRIC, Tier, statements
from shared.runtime import selfmetrics
from shared.runtime.clock import Clock
from shared.store.port import Store, StoreError

log = logging.getLogger(__name__)

MINUTE_MS = 60_000
GRACE_MS = 10_000
LOOK_BACK_SECONDS: dict[Tier, int] = {"rollup_1m": 1800, "rollup_1h": 7200}
SWEEP_EVERY = 10  # rounds, a minute each
OPEN_HOUR_EVERY = 600.0
OPEN_HOUR_SHARE = 200.0
ROUND_TIMEOUT = 300.0
BASES = ("samples", "scores")
MARKS = {"samples": EVENTS_METRIC, "scores": "host.score"}
"""The metric whose rollup is there whenever any of its base is."""

Touched = dict[int, set[str]]


class Rollups:
    """``touch`` what was stored, and ``round`` once a minute. Everything waits in memory until it is computed."""

    def __init__(self, store: Store, clock: Clock, *, max_age_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._max_age_ms = max_age_ms
        self._minutes: dict[str, Touched] = {base: defaultdict(set) for base in BASES}
        self._hours: dict[str, Touched] = {base: defaultdict(set) for base in BASES}
        self._open_hours_at = 0.0
        self._open_hours_cost = 0.0

    def touch(self, base: str, touched: Mapping[int, set[str]]) -> None:
        """Samples of these hosts fell into these minutes (since 1970) and are stored."""
        minutes = self._minutes[base]
        for minute, hosts in touched.items():
            minutes[minute] |= hosts

    @property
    def pending(self) -> int:
        """Minutes that are closed and wait."""
        return sum(sum(1 for m in minutes if m < self._closed()) for minutes in self._minutes.values())

    async def round(self) -> None:
        """Everything touched that is closed is computed afterwards. Raises ``StoreError``; what is left then waits
        for the next round.
        """
        closed = self._closed()
        for base in BASES:
            await self._compute("rollup_1m", base, self._minutes[base], closed)
        await self._round_hours(closed // 60)
        selfmetrics.INGEST_ROLLUP_PENDING.set(self.pending)

    async def find_stale(self, *, everything: bool = False) -> int:
        """Touches what was stored after its rollup was computed, if it ever was. Returns how much was found.

        Looks at what was stored lately, and at start (``everything``) since the newest rollup there is.
        """
        found = 0
        for base, metric in MARKS.items():
            minutes = await self._stale(_STALE_MINUTES.format(base=base), "rollup_1m", metric, everything)
            hours = await self._stale(_STALE_HOURS, "rollup_1h", metric, everything)
            for rows, touched in ((minutes, self._minutes[base]), (hours, self._hours[base])):
                for bucket, host_id in rows:
                    touched[bucket].add(host_id)
                found += len(rows)
        return found

    async def _stale(self, sql: str, tier: Tier, metric: str, everything: bool) -> list[tuple[int, str]]:
        now = self._clock.now_ms() // 1000
        since = now
        if everything:
            newest = await self._store.query(
                f"SELECT toUnixTimestamp(max(computed_at)) FROM {tier} WHERE metric = {{metric:String}}",  # noqa: S608
                {"metric": metric},
            )
            since = min(now, newest[0][0])
        rows = await self._store.query(
            sql,
            {
                "metric": metric,
                "since": max(0, since - LOOK_BACK_SECONDS[tier]),
                "oldest": max(0, now - self._max_age_ms // 1000),
            },
            timeout=ROUND_TIMEOUT,
        )
        return [(bucket, host_id) for bucket, host_id in rows]

    async def run(self) -> None:
        """Rounds for ever, one a minute, a little after the minute closed; a store in trouble only delays them."""
        rounds = 0
        while True:
            closed = self._closed()  # what closes during a round is not made to wait for another minute
            try:
                if rounds % SWEEP_EVERY == 0:
                    await self.find_stale(everything=rounds == 0)
                await self.round()
                if rounds % SWEEP_EVERY == 0:
                    await report(self._store, self._clock.now_ms())
                rounds += 1
            except StoreError as error:
                if error.permanent:
                    raise
                log.warning("rollups wait for the store", extra={"reason": str(error), "minutes": self.pending})
            await self._until_next_minute(closed)

    async def _until_next_minute(self, closed: int) -> None:
        while self._closed() == closed:  # noqa: ASYNC110
            # In short steps, because the wall clock may jump.
            await asyncio.sleep(1.0)

    def _closed(self) -> int:
        """The first minute that is still open."""
        return (self._clock.now_ms() - GRACE_MS) // MINUTE_MS

    async def _round_hours(self, open_hour: int) -> None:
        """Closed hours at once; the open one as often as its cost allows."""
        now = self._clock.monotonic()
        with_open = now - self._open_hours_at >= max(OPEN_HOUR_EVERY, OPEN_HOUR_SHARE * self._open_hours_cost)
        started = time.perf_counter()
        for base in BASES:
            await self._compute("rollup_1h", base, self._hours[base], open_hour + with_open)
        if with_open:
            self._open_hours_at, self._open_hours_cost = now, time.perf_counter() - started

    async def _compute(self, tier: Tier, base: str, touched: Touched, before: int) -> None:
        due = {bucket: hosts for bucket, hosts in touched.items() if bucket < before}
        if not due:
            return
        started = time.perf_counter()
        seconds = 60 if tier == "rollup_1m" else 3600
        for span in spans(due, seconds):
            # Taken before it is computed: what is touched meanwhile is computed once more.
            taken = {b: touched[b] & set(span.hosts) for b in range(span.first, span.last + 1)}
            for bucket, hosts in taken.items():
                touched[bucket] -= hosts
                if not touched[bucket]:
                    del touched[bucket]
            try:
                await self._insert(tier, base, span, seconds)
            except BaseException:
                for bucket, hosts in taken.items():
                    touched[bucket] |= hosts
                raise
            if tier == "rollup_1m":
                for minute, hosts in taken.items():
                    self._hours[base][minute // 60] |= hosts
                selfmetrics.INGEST_ROLLUP_MINUTES.add(sum(map(len, taken.values())), base)
        selfmetrics.INGEST_ROLLUP_SECONDS.observe(time.perf_counter() - started, tier)

    async def _insert(self, tier: Tier, base: str, span: Span, seconds: int) -> None:
        for statement in statements(base, tier):
            await self._store.command(
                statement.sql,
                {
                    "since": span.first * seconds,
                    "until": (span.last + 1) * seconds,
                    "hosts": list(span.hosts),
                },
            )


# By time, and by number: `stored_at` is when an insert began, and one that took long may have been invisible to a
# computation that began after it.
_STALE_MINUTES = """
WITH
    stored AS
    (
        SELECT host_id, toStartOfMinute(ts) AS minute, max(stored_at) AS latest, uniqExact(ts) AS events
        FROM {base}
        WHERE stored_at >= toDateTime({{since:UInt32}}) AND ts >= toDateTime64({{oldest:UInt32}}, 3, 'UTC')
        GROUP BY host_id, minute
    ),
    computed AS
    (
        SELECT host_id, ts AS minute, max(computed_at) AS latest, argMax(count, version) AS counted
        FROM rollup_1m
        WHERE metric = {{metric:String}} AND ts >= (SELECT min(minute) FROM stored)
        GROUP BY host_id, minute
    )
SELECT toUInt32(intDiv(toUnixTimestamp(minute), 60)), host_id
FROM stored LEFT JOIN computed USING (host_id, minute)
WHERE stored.latest + 1 >= computed.latest OR stored.events > computed.counted
"""
_STALE_HOURS = """
WITH
    minutes AS
    (
        SELECT host_id, toStartOfHour(ts) AS hour, max(computed_at) AS latest
        FROM rollup_1m
        WHERE metric = {metric:String}
            AND computed_at >= toDateTime({since:UInt32}) AND ts >= toDateTime({oldest:UInt32})
        GROUP BY host_id, hour
    ),
    hours AS
    (
        SELECT host_id, ts AS hour, max(computed_at) AS latest
        FROM rollup_1h
        WHERE metric = {metric:String} AND ts >= (SELECT min(hour) FROM minutes)
        GROUP BY host_id, hour
    )
SELECT toUInt32(intDiv(toUnixTimestamp(hour), 3600)), host_id
FROM minutes LEFT JOIN hours USING (host_id, hour)
WHERE minutes.latest >= hours.latest
"""
