"""The catalogue's metrics, read from the newest state in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from services.api.live import HostState
from shared.schemas.metrics import CATALOGUE, Metric

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
    """The ``limit`` greatest (smallest) values over ``hosts``, in order."""
    read, section = READERS[metric], SECTION[metric]
    pick = heapq.nlargest if greatest else heapq.nsmallest
    found = [(value, index, host, label) for index, host in enumerate(hosts) for label, value in read(host)]
    return [
        Ranked(value, host, label, host.score_ts if section == "score" else host.sections[section].ts)
        for value, _, host, label in pick(limit, found, key=lambda f: f[0])
    ]
