"""Which minutes and hours to roll up next: pure decisions over what was touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

HOSTS_AT_ONCE = 500
EVENTS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Span:
    """Buckets ``first`` to ``last`` (inclusive; minutes or hours since 1970) of ``hosts``."""

    first: int
    last: int
    hosts: tuple[str, ...]


def spans(touched: Mapping[int, set[str]], events_a_bucket: int) -> Iterator[Span]:
    """The touched buckets as few spans, oldest first; a span reads at most about ``EVENTS_AT_ONCE`` events.

    Consecutive buckets touched by the same hosts are one span.
    """
    run: list[int] = []
    hosts: set[str] = set()
    for bucket in sorted(touched):
        full = len(run) * max(1, min(len(hosts), HOSTS_AT_ONCE)) * events_a_bucket >= EVENTS_AT_ONCE
        if run and (bucket != run[-1] + 1 or touched[bucket] != hosts or full):
            yield from _cut(run, hosts)
            run = []
        hosts = touched[bucket]
        run.append(bucket)
    if run:
        yield from _cut(run, hosts)


def _cut(run: list[int], hosts: set[str]) -> Iterator[Span]:
    names = sorted(hosts)
    for start in range(0, len(names), HOSTS_AT_ONCE):
        yield Span(run[0], run[-1], tuple(names[start : start + HOSTS_AT_ONCE]))
