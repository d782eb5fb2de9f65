"""Anomalies that were told, out of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.history.statements import statement
from shared.store.port import Store


@dataclass(frozen=True)
class Episode:
    """Epoch milliseconds; ``ended_ms`` is ``None`` for what had not ended."""

    anomaly_id: str
    host_id: str
    finding: str
    started_ms: int
    ended_ms: int | None

    def covers(self, ts_ms: int) -> bool:
        return self.started_ms <= ts_ms and (self.ended_ms is None or ts_ms <= self.ended_ms)


async def episodes(store: Store, host_ids: Sequence[str], start_ms: int, end_ms: int) -> list[Episode]:
    """Those that touch the stretch. Raises ``StoreError``."""
    rows = await store.query(statement("episodes"), {"hosts": list(host_ids), "from": start_ms, "to": end_ms})
    return [Episode(*row) for row in rows]
