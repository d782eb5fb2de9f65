"""The catalogue's metrics, read from the newest state in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        if metric.label:
            return lambda host: host.metric_scores.items()
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
_MAY_LACK = ("score", "gpus")
"""Sections that may be there without a value; these also are read in a way of their own."""
SECTION: dict[str, str] = {m.name: m.section for m in CATALOGUE}


def top(hosts: Iterable[HostState], metric: str, limit: int, *, greatest: bool = True) -> list[Ranked]:
    """The ``limit`` greatest (smallest) values over ``hosts``, in order; of equals, who comes first."""
    everyone = list(hosts)
    pick, best, sign = (heapq.nlargest, max, -1) if greatest else (heapq.nsmallest, min, 1)
    # A place in the order is a signed index, so that of equals the first wins either way. Who has one is among the
    # hosts whose best values are the best: all values are looked at of these only.
    few = pick(limit, _best_of_each(everyone, metric, best, sign))
    read = READERS[metric]
    entries = [
        (value, place, sign * n, label)
        for _, place in few
        for n, (label, value) in enumerate(read(everyone[sign * place]))
    ]
    return [
        Ranked(value, host, label, _seen(host, metric))
        for value, place, _, label in pick(limit, entries)
        for host in [everyone[sign * place]]
    ]


def _best_of_each(
    hosts: Sequence[HostState], metric: str, best: Callable[[Iterable[float]], float], sign: int
) -> list[tuple[float, int]]:
    """``(best value, place)`` of the hosts that have a value."""
    section, field = SECTION[metric], attrgetter(BY_NAME[metric].field)
    # Written out, because a call a host would cost more than the ranking.
    if section in _MAY_LACK:
        found = [[value for _, value in READERS[metric](host)] for host in hosts]
        return [(best(values), sign * i) for i, values in enumerate(found) if values]
    if BY_NAME[metric].label is None:
        return [
            (field(reading.value), sign * i)
            for i, host in enumerate(hosts)
            if (reading := host.sections.get(section)) is not None
        ]
    return [
        (best(map(field, reading.value)), sign * i)
        for i, host in enumerate(hosts)
        if (reading := host.sections.get(section)) is not None and reading.value
    ]


def _seen(host: HostState, metric: str) -> int:
    section = SECTION[metric]
    return host.score_ts if section == "score" else host.sections[section].ts
