"""A host that is not like the others of its group any more.

Each host has one mean a minute of each number; once a minute and group, median and spread of the group are computed,
and each host is compared with them when a minute of its own ends. What a host is always away from its group, being
the database among web servers, is learned and does not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.network_traffic import physical
from services.detector.findings.port import BECAME_NORMAL, RECOVERED, Sighting, share
from services.detector.findings.smooth import Smooth
from services.detector.findings.words import number, size
from shared.schemas.sample import HostSample

LABELS = ("group", "role")
EVERYBODY = ""


@dataclass(frozen=True)
class Thresholds:
    """``z``: modified z, distance from the median in units of the group's spread. ``learning_ms``: until then a host's
    own place in the group is not known.
    """

    hosts: int = 4
    most_hosts: int = 512
    enter: float = 6
    stay: float = 3
    after_ms: int = 300_000
    until_ms: int = 300_000
    fresh_ms: int = 660_000
    learning_ms: int = 3_600_000
    usual_ms: int = 86_400_000
    factor: float = 1.4826


T = Thresholds()


@dataclass(frozen=True)
class Number:
    """``floor``: the least spread believed in; ``matters``: a smaller distance is never worth a word."""

    metric: str
    floor: float
    matters: float
    unit: str = " %"


# Traffic in the logarithm of bytes a second: 1.6 is a factor of five.
NUMBERS = (
    Number("cpu.percent", 3, 30),
    Number("memory.percent", 2, 20),
    Number("cpu.load1", 0.15, 1.0, " a core"),
    Number("network", 0.3, 1.6),
)
_NETWORK = 3
_QUIET_BYTES = 1e6
"""Below a megabyte a second all hosts are the same."""


class Level(msgspec.Struct):
    """One number of one host. ``own``: how far from the group's median it usually is."""

    total: float = 0.0
    count: int = 0
    value: float | None = None
    own: Smooth = msgspec.field(default_factory=Smooth)
    first_ms: int = -1
    hold: Hold = msgspec.field(default_factory=Hold)


class Member(msgspec.Struct):
    """What is remembered of a host; ``minute`` is the one that is being added up."""

    group: str = EVERYBODY
    minute: int = -1
    fresh_ms: int = -1
    cores: int = 0
    levels: list[Level] = msgspec.field(default_factory=lambda: [Level() for _ in NUMBERS])
    held: tuple[Sighting, ...] = ()
    ended: str = RECOVERED

    def add(self, ts_ms: int, sample: HostSample) -> bool:
        """Whether a minute has ended with this sample."""
        minute = ts_ms // 60_000
        ended = minute != self.minute and self.minute >= 0
        if ended:
            for level in self.levels:
                level.value = level.total / level.count if level.count else None
                level.total, level.count = 0.0, 0
            self.fresh_ms = ts_ms
        self.minute = minute
        if sample.cpu:
            self.cores = sample.cpu.count
            self._add(0, sample.cpu.percent)
        if sample.memory:
            self._add(1, sample.memory.percent)
        if sample.load and self.cores:
            self._add(2, sample.load.load1 / self.cores)
        if sample.network:
            cards = physical(sample.network, 4)
            total = sum(i.recv_bytes_per_s + i.sent_bytes_per_s for i in cards)
            self._add(_NETWORK, math.log(max(_QUIET_BYTES, total)))
        return ended

    def _add(self, n: int, value: float) -> None:
        self.levels[n].total += value
        self.levels[n].count += 1

    def compare(self, ts_ms: int, host: str, others: Sequence[tuple[float, float, int] | None]) -> None:
        """``others``: of each number the group's median, spread and how many hosts that is of."""
        held = []
        for n, (kind, level, group) in enumerate(zip(NUMBERS, self.levels, others, strict=True)):
            if group is None or level.value is None:
                if level.hold.is_open:
                    level.hold, self.ended = Hold(), "too few hosts to compare with"
                continue
            middle, spread, hosts = group
            away = level.value - middle
            if level.first_ms < 0:
                level.first_ms = ts_ms
            beyond = away - level.own.value
            z = 0.0
            # Away from the group and from its own place in it: coming back to the others is never an outlier.
            if ts_ms - level.first_ms >= T.learning_ms and min(abs(beyond), abs(away)) >= kind.matters / 2:
                z = beyond / max(spread * T.factor, kind.floor)
            far = min(abs(beyond), abs(away)) >= kind.matters
            was_open = level.hold.is_open
            if level.hold.step(
                ts_ms,
                enter=abs(z) >= T.enter and far,
                stay=abs(z) >= T.stay,
                after_ms=T.after_ms,
                until_ms=T.until_ms,
            ):
                held.append(self._said(host, n, level, middle, hosts, z))
            elif was_open:
                self.ended = BECAME_NORMAL if abs(away) >= kind.matters else RECOVERED
            learned_for = ts_ms - level.first_ms
            level.own.step(ts_ms, away, T.usual_ms if learned_for >= T.learning_ms else T.learning_ms / 3)
        self.held = tuple(held)

    def _said(self, host: str, n: int, level: Level, middle: float, hosts: int, z: float) -> Sighting:
        kind = NUMBERS[n]
        assert level.value is not None
        value, usual, metric = level.value, middle + level.own.value, kind.metric
        if n == _NETWORK:
            value, middle, usual, metric = math.exp(value), math.exp(middle), math.exp(usual), "network"
            now, group = f"{size(value)}/s", f"{size(middle)}/s"
        else:
            now, group = f"{number(value)}{kind.unit}", f"{number(middle)}{kind.unit}"
        scale = self.cores if metric == "cpu.load1" else 1
        who = f"its group {self.group}" if self.group else "all hosts"
        return Sighting(
            finding="host_outlier",
            labels={"metric": metric},
            severity="warning",
            since_ms=level.hold.since_ms,
            summary=f"{host} is not like {who}: {metric} {now}, the middle of {hosts} hosts is {group}",
            evidence={
                "here": now,
                "group's median": group,
                "hosts": str(hosts),
                "distance": f"{number(abs(z))} spreads",
            },
            contributions=(share(metric, value * scale, min(middle, usual) * scale, max(middle, usual) * scale),),
        )


def group_of(labels: Mapping[str, str]) -> str:
    return next((f"{name}={labels[name]}" for name in LABELS if labels.get(name)), EVERYBODY)


class Groups:
    """Which hosts there are in each group, and their medians of this minute."""

    def __init__(self) -> None:
        self._members: dict[str, dict[str, Member]] = {}
        self._known: dict[str, tuple[int, list[tuple[float, float, int] | None]]] = {}

    def join(self, host_id: str, member: Member, group: str) -> None:
        """Also again, with another member or group."""
        self.leave(host_id, member)
        member.group = group
        self._members.setdefault(group, {})[host_id] = member

    def leave(self, host_id: str, member: Member) -> None:
        members = self._members.get(member.group)
        if members is not None:
            members.pop(host_id, None)
            if not members:
                del self._members[member.group]
                self._known.pop(member.group, None)

    def medians(self, group: str, ts_ms: int) -> list[tuple[float, float, int] | None]:
        """At most once a minute of event time over all hosts of a group, of large groups over some of them."""
        minute = ts_ms // 60_000
        known = self._known.get(group)
        if known is None or known[0] != minute:
            members = islice(self._members.get(group, {}).values(), T.most_hosts)
            fresh = [m for m in members if m.fresh_ms >= 0 and abs(ts_ms - m.fresh_ms) <= T.fresh_ms]
            known = self._known[group] = (
                minute,
                [_middle(m.levels[n].value for m in fresh) for n in range(len(NUMBERS))],
            )
        return known[1]


def _middle(values: Iterable[float | None]) -> tuple[float, float, int] | None:
    there = [v for v in values if v is not None]
    if len(there) < T.hosts:
        return None
    middle = median(there)
    return middle, median(abs(v - middle) for v in there), len(there)
