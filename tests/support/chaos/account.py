"""The account at the end: what was accepted against what the tables say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.bus.kafka import tail
from shared.runtime.settings import KafkaSettings
from shared.schemas.codec import BadLine, Decoder
from shared.schemas.sample import HostSample
from shared.schemas.topics import METRICS
from shared.store.port import Store
from tests.support.chaos.senders import PREFIX

STORED = f"SELECT count() FROM samples FINAL WHERE startsWith(host_id, '{PREFIX}')"

COUNT_INSERTED = """
CREATE MATERIALIZED VIEW IF NOT EXISTS chaos_inserted ENGINE = MergeTree ORDER BY tuple() AS
SELECT count() AS rows FROM landing_metrics"""
"""Counts what is inserted, repeats and all, before the tables make one of them."""

INSERTED = "SELECT (SELECT sum(rows) FROM chaos_inserted), (SELECT count() FROM samples FINAL)"

NUMBERS = f"""
SELECT host_id, count(), uniqExact(seq), max(seq)
FROM samples FINAL WHERE startsWith(host_id, '{PREFIX}') GROUP BY host_id"""

MINUTES = f"""
SELECT host_id, toUnixTimestamp(toStartOfMinute(ts)) AS minute, count(),
    min(cpu_percent) / 10, max(cpu_percent) / 10, avg(cpu_percent) / 10,
    min(memory_percent) / 10, max(memory_percent) / 10, avg(memory_percent) / 10
FROM samples FINAL WHERE startsWith(host_id, '{PREFIX}') GROUP BY host_id, minute"""

ROLLED_UP = f"""
SELECT host_id, toUnixTimestamp(ts), metric, count, min, max, avg
FROM rollup_1m FINAL
WHERE startsWith(host_id, '{PREFIX}') AND metric IN ('host.samples', 'cpu.percent', 'memory.percent')"""


@dataclass(frozen=True)
class Numbers:
    accepted: int
    lost: int
    doubled: int


async def numbers(store: Store, accepted: Mapping[str, int]) -> Numbers:
    """Every accepted number of every host, once."""
    found = {host: (rows, kinds, last) for host, rows, kinds, last in await store.query(NUMBERS)}
    lost = doubled = 0
    for host, count in accepted.items():
        rows, kinds, last = found.get(host, (0, 0, 0))
        lost += max(0, count - kinds) + (last >= count)  # a number nobody made is as wrong as one that is missing
        doubled += rows - kinds
    return Numbers(sum(accepted.values()), lost, doubled)


async def different_rollups(store: Store) -> list[str]:
    """Minutes whose rollup is not what their events say; in words."""
    raw: dict[tuple[str, int, str], tuple[float, ...]] = {}
    for host, minute, count, *figures in await store.query(MINUTES):
        raw[host, minute, "host.samples"] = (count, 1, 1, 1)
        raw[host, minute, "cpu.percent"] = (count, *figures[:3])
        raw[host, minute, "memory.percent"] = (count, *figures[3:])
    rolled = {(host, minute, metric): tuple(rest) for host, minute, metric, *rest in await store.query(ROLLED_UP)}
    return [
        f"{key}: events say {raw.get(key)}, the rollup {rolled.get(key)}"
        for key in sorted(raw.keys() | rolled.keys())
        if not _alike(raw.get(key), rolled.get(key))
    ]


def _alike(left: tuple[float, ...] | None, right: tuple[float, ...] | None) -> bool:
    if left is None or right is None:
        return False
    return left[0] == right[0] and all(abs(a - b) <= 1e-4 * max(1, abs(a)) for a, b in zip(left, right, strict=True))


@dataclass(frozen=True)
class OnTopic:
    """Of everything the broker holds: lines, and the different (host, instant) pairs by host."""

    lines: int
    instants: Mapping[str, set[int]]

    @property
    def repeats(self) -> int:
        return self.lines - sum(map(len, self.instants.values()))


async def on_topic(kafka: KafkaSettings) -> OnTopic:
    it = tail(kafka, [METRICS], "chaos-account")
    await it.start()
    lines = 0
    instants: dict[str, set[int]] = {}
    decoder = Decoder(HostSample)
    async for batch in it.messages():
        for message in batch:
            for sample in decoder.lines(message.value or b""):
                assert not isinstance(sample, BadLine)
                lines += 1
                instants.setdefault(sample.host_id, set()).add(sample.ts)
        if not it.lag():
            break
    await it.stop()
    return OnTopic(lines, instants)


async def not_stored(store: Store, topic: OnTopic) -> dict[str, int]:
    """Of every host, real ones included: how many instants are on the topic and not in the table exactly once."""
    rows = await store.query(
        "SELECT host_id, toUnixTimestamp64Milli(ts), count() FROM samples FINAL GROUP BY host_id, ts"
    )
    stored: dict[str, dict[int, int]] = {}
    for host, ts, count in rows:
        stored.setdefault(host, {})[ts] = count
    return {
        host: wrong
        for host, instants in topic.instants.items()
        if (wrong := sum(stored.get(host, {}).get(ts, 0) != 1 for ts in instants))
    }
