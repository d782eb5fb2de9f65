"""What every named finding is made of: a watcher looks at one host's samples and says what it holds to be wrong now."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Protocol, TypeVar

import msgspec

from shared.schemas.anomaly import Contribution, Severity
from shared.schemas.sample import HostSample

MAX_OF_A_KIND = 8
"""Mounts, devices, sensors a watcher remembers at most; which they are does not change while they are there."""
RECOVERED = "recovered"
BECAME_NORMAL = "became normal"
GONE = "it is gone"

E = TypeVar("E")
P = TypeVar("P")


class Sighting(msgspec.Struct, frozen=True):
    """Something is wrong now. ``finding`` and ``labels`` say what it is and of which part of the host; ``since_ms``
    does not change while it lasts. ``summary`` is a sentence, ``evidence`` short strings for people.
    """

    finding: str
    labels: dict[str, str]
    severity: Severity
    since_ms: int
    summary: str
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    contributions: tuple[Contribution, ...] = ()


class Watcher(Protocol):
    """A struct that msgspec can write and read back: all it knows is in its fields, and all of it is bounded."""

    section: ClassVar[str]
    """The part of a sample without which there is nothing to say."""
    ended: str
    """Why the last thing it let go of is over."""
    held: tuple[Sighting, ...]
    heard_ms: int

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        """What is held now. ``ts_ms`` only grows; a section that is absent says nothing, neither good nor bad."""


class Watching(msgspec.Struct):
    """What watchers have in common: ``held`` is what was said last, and is said again until there is news.

    ``heard_ms`` is when, while something was held, the section last said anything.
    """

    section: ClassVar[str]

    ended: str = RECOVERED
    held: tuple[Sighting, ...] = ()
    heard_ms: int = -1


def each(known: dict[str, P], there: Mapping[str, E], begin: Callable[[], P]) -> Iterator[tuple[E, P]]:
    """Every part of the host that is there, with what is remembered of it; what is gone is forgotten at the end."""
    for name, entry in there.items():
        part = known.get(name)
        if part is None:
            part = known[name] = begin()
        yield entry, part
    if len(known) > len(there):
        for name in [n for n in known if n not in there]:
            del known[name]


def gone(held: Iterable[Sighting], label: str, there: Container[str]) -> bool:
    """Whether something was said of a part of the host that is not there any more."""
    return any(sighting.labels[label] not in there for sighting in held)


def share(metric: str, value: float, low: float, high: float, labels: dict[str, str] | None = None) -> Contribution:
    """The one metric a finding is about."""
    return Contribution(
        metric=metric, labels=labels or {}, share=1.0, value=value, expected_low=low, expected_high=high
    )
