"""The size cap: above it the oldest partitions go first, whatever table they are in. TTLs do the rest by themselves."""

from __future__ import annotations

import calendar
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from shared.runtime import selfmetrics
from shared.runtime.clock import Clock
from shared.store.migrate import RETENTION
from shared.store.port import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Partition:
    """``newest`` is the last day that can be in it; ``None`` when it is not by time."""

    table: str
    partition_id: str
    newest: date | None
    size: int


def to_drop(partitions: Iterable[Partition], cap: int, today: date) -> list[Partition]:
    """The oldest partitions whose loss brings the total down to ``cap``, oldest first; never one that today's rows
    go into, nor one that is not by time. Fewer bytes than needed when there is no more to drop.
    """
    everything = list(partitions)
    over = sum(p.size for p in everything) - cap
    drop: list[Partition] = []
    past = [(p.newest, -p.size, p) for p in everything if p.newest is not None and p.newest < today]
    for _, _, partition in sorted(past, key=lambda entry: entry[:2]):
        if over <= 0:
            break
        drop.append(partition)
        over -= partition.size
    return drop


def newest_day(partition: str) -> date | None:
    """The last day of a partition by its name: ``2026-11-21``, ``20261121`` or ``202611``."""
    digits = partition.replace("-", "")
    if not re.fullmatch(r"\d{6}(\d{2})?", digits):
        return None
    year, month = int(digits[:4]), int(digits[4:6])
    try:
        return date(year, month, int(digits[6:]) if digits[6:] else calendar.monthrange(year, month)[1])
    except ValueError:
        return None


async def enforce_cap(store: Store, clock: Clock, max_bytes: int) -> list[Partition]:
    """Drops what is too much; 0 is no cap. Returns what was dropped. Raises ``StoreError``."""
    rows = await store.query(
        "SELECT table, partition_id, any(partition), sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = currentDatabase() GROUP BY table, partition_id"
    )
    partitions = [
        Partition(table, partition_id, newest_day(name) if table in RETENTION else None, size)
        for table, partition_id, name, size in rows
    ]
    total = sum(p.size for p in partitions)
    selfmetrics.STORE_BYTES.set(total)
    if not max_bytes or total <= max_bytes:
        return []
    today = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).date()
    drop = to_drop(partitions, max_bytes, today)
    for partition in drop:
        await store.command(f"ALTER TABLE `{partition.table}` DROP PARTITION ID '{partition.partition_id}'")
        selfmetrics.STORE_PARTITIONS_DROPPED.add(1, partition.table)
        log.warning(
            "dropped the oldest partition to stay under the size cap",
            extra={
                "table": partition.table,
                "until": str(partition.newest),
                "bytes": partition.size,
                "cap_bytes": max_bytes,
            },
        )
    left = total - sum(p.size for p in drop)
    if left > max_bytes:
        log.warning(
            "the store is above its size cap and only today's data is left",
            extra={"bytes": left, "cap_bytes": max_bytes},
        )
    return drop
