"""The catalogue's metrics, read from the newest state in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from services.api.live import HostState
from shared.schemas.metrics import BY_NAME, CATALOGUE, Metric

Reader = Callable[[HostState], Iterable[tuple[str, float]]]
"""``(label, value)`` pairs; the label is empty for a host's own metrics."""


class Ranked(NamedTuple):
    value: float
    host: HostState
    label: str
    ts: int


def _reader(metric: Metric) -> Reader:
    section, field = metric.section, attrgetter(metric.field)
    if section == "score":
        return lambda host: () if host.score is None else (("", host.score),)
    if metric.label is None:

        def scalar(host: HostState) -> Iterable[tuple[str, float]]:
            reading = host.sections.get(section)
            return () if reading is None else (("", field(reading.value)),)

        return scalar
    label = attrgetter(metric.label)

    def labelled(host: HostState) -> Iterator[tuple[str, float]]:
        for entry in _entries(section, host.section(section)):
            value = field(entry)
            if value is not None:
                yield str(label(entry)), value

    return labelled


def _entries(section: str, value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value.devices if section == "gpus" else value  # type: ignore[no-any-return]


READERS: dict[str, Reader] = {m.name: _reader(m) for m in CATALOGUE}
SECTION: dict[str, str] = {m.name: m.section for m in CATALOGUE}


def top(hosts: Iterable[HostState], metric: str, limit: int, *, greatest: bool = True) -> list[Ranked]:
    """The ``limit`` greatest (smallest) values over ``hosts``, in order; of equals, who comes first."""
    everyone = list(hosts)
    pick, sign = (heapq.nlargest, -1) if greatest else (heapq.nsmallest, 1)
    if BY_NAME[metric].label is None:
        read = READERS[metric]
        scalars = [(value, sign * i) for i, host in enumerate(everyone) for _, value in read(host)]
        best = [(value, everyone[sign * i], "") for value, i in pick(limit, scalars)]
    else:
        # Written out, because a call a host would cost more than the ranking.
        section, field = SECTION[metric], attrgetter(BY_NAME[metric].field)
        entries = [
            (value, sign * i, sign * n)
            for i, host in enumerate(everyone)
            if (reading := host.sections.get(section)) is not None
            for n, value in enumerate(map(field, _entries(section, reading.value)))
            if value is not None
        ]
        label = attrgetter(BY_NAME[metric].label or "")
        best = [
            (value, host, str(label(list(_entries(section, host.section(section)))[sign * n])))
            for value, i, n in pick(limit, entries)
            for host in [everyone[sign * i]]
        ]
    return [Ranked(value, host, label_of, _seen(host, metric)) for value, host, label_of in best]


def _seen(host: HostState, metric: str) -> int:
    section = SECTION[metric]
    return host.score_ts if section == "score" else host.sections[section].ts
