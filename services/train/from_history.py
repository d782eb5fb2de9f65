"""Stored history with labels: overload is what was told as such and not taken back, and what people called real."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from services.history.episodes import Episode, episodes
from services.history.said import said
from services.history.span import Span
from services.history.stored import hosts_meant, readings
from services.train.labelled import Labelled, TrainError
from shared.schemas.control import Feedback
from shared.store.port import Store

METRIC = "cpu.percent"
FINDING = "cpu_overload"
MOST_NORMAL = 100_000
"""Rows that are no overload; of more, evenly spaced ones are taken. All that are overload are."""
BLOCK_MS = 3_600_000
"""Rows of one host and hour are never both learned from and asked about."""


async def labelled(store: Store, span: Span) -> Labelled:
    """Raises ``TrainError``, ``SettingsError`` on an unknown host, ``StoreError``."""
    watched = await hosts_meant(store, span.hosts)
    told = await episodes(store, [h.host_id for h in watched], span.start_ms, span.end_ms)
    opinions = await said(store)
    step = max(1, (span.end_ms - span.start_ms) * len(watched) // MOST_NORMAL)
    rows: list[float] = []
    labels: list[bool] = []
    groups: list[int] = []
    blocks = (span.end_ms - span.start_ms) // BLOCK_MS + 1
    for number, host in enumerate(watched):
        overloads = overload_episodes([e for e in told if e.host_id == host.host_id], opinions)
        taken = -1
        async for piece in readings(store, host.host_id, span.start_ms, span.end_ms, [METRIC]):
            for reading in piece:
                value = reading.features.get(METRIC)
                overload = any(episode.covers(reading.ts_ms) for episode in overloads)
                if value is None or (not overload and reading.ts_ms // step == taken):
                    continue
                taken = reading.ts_ms // step
                rows.append(value)
                labels.append(overload)
                groups.append(number * blocks + (reading.ts_ms - span.start_ms) // BLOCK_MS)
    if not rows:
        raise TrainError(f"there are no readings of {METRIC} in that time")
    return Labelled(
        features=(METRIC,),
        rows=np.array(rows)[:, None],
        overload=np.array(labels),
        group=np.array(groups, dtype=np.intp),
        span=(span.start_ms, span.end_ms),
        about={"hosts": ", ".join(host.name for host in watched)[:500]},
    )


def overload_episodes(told: Iterable[Episode], opinions: Sequence[Feedback]) -> list[Episode]:
    """Those called real and about CPU, and those named an overload, unless somebody said that they were normal."""
    verdicts = {opinion.id: opinion for opinion in opinions}
    out = []
    for episode in told:
        opinion = verdicts.get(episode.anomaly_id)
        if opinion is None:
            overload = episode.finding == FINDING
        elif opinion.verdict == "real":
            overload = episode.finding == FINDING or any(m.metric == METRIC for m in opinion.metrics)
        else:
            overload = False
        if overload:
            out.append(episode)
    return out
