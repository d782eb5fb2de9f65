"""Much more traffic than ever at this time of the day; or traffic that is always there, and is gone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.features import is_virtual
from services.detector.findings.hold import Hold
from services.detector.findings.level import Level, Minute
from services.detector.findings.port import BECAME_NORMAL, RECOVERED, Sighting, Watching, each, share
from services.detector.findings.smooth import Smooth
from services.detector.findings.words import size, span
from shared.schemas.sample import HostSample, NetworkInterface


@dataclass(frozen=True)
class Thresholds:
    """Bytes a second, means of a minute. Spike: ``times`` the highest and ``more`` above it; or, where there is always
    ``worth`` of traffic, sooner: ``times`` the last half hour, and beyond the highest by a quarter of the usual range,
    from ``least_times`` to ``times``. That is a word in the list until it is ``more`` above. Drop: ``left`` is the
    share of the lowest that is left, where that is ``worth`` a word, ``sudden`` the share of the last half hour.
    """

    interfaces: int = 4
    times: float = 2.5
    least_times: float = 1.5
    stay_times: float = 1.2
    more: float = 2e6
    left: float = 0.33
    stay_left: float = 0.5
    worth: float = 20e3
    sudden: float = 0.3
    recent_ms: int = 1_800_000
    after_ms: int = 60_000
    until_ms: int = 360_000
    """Longer than flapping takes to come back: that is another finding, and this one then stays one."""
    normal_ms: int = 6 * 3_600_000


T = Thresholds()


class _Way(msgspec.Struct):
    """One direction. ``mean``: of the last minute; ``worst``: of what is being reported; ``large``: it is a warning."""

    name: str
    metric: str
    level: Level = msgspec.field(default_factory=Level)
    minute: Minute = msgspec.field(default_factory=Minute)
    recent: Smooth = msgspec.field(default_factory=Smooth)
    spike: Hold = msgspec.field(default_factory=Hold)
    drop: Hold = msgspec.field(default_factory=Hold)
    told_normal: bool = False
    mean: float = 0.0
    large: bool = False
    worst: float = 0.0
    worst_ms: int = -1


def _ways() -> tuple[_Way, _Way]:
    return _Way("received", "network.recv_bytes_per_s"), _Way("sent", "network.sent_bytes_per_s")


class _Card(msgspec.Struct):
    ways: tuple[_Way, _Way] = msgspec.field(default_factory=_ways)
    told: tuple[Sighting, ...] = ()


class NetworkTraffic(Watching):
    """Both directions are watched; an interface has one spike and one drop at a time."""

    section: ClassVar[str] = "network"
    cards: dict[str, _Card] = msgspec.field(default_factory=dict)

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.network is None:
            return self.held
        there = {i.interface: i for i in physical(sample.network, T.interfaces)}
        news = any(name not in there for name in self.cards)
        for interface, card in each(self.cards, there, _Card):
            received, sent = card.ways
            # Not `or`: both must see the reading.
            ended = [
                self._step(ts_ms, received, interface.recv_bytes_per_s),
                self._step(ts_ms, sent, interface.sent_bytes_per_s),
            ]
            if any(ended):
                card.told = tuple(_said(ts_ms, sample.host, interface, card))
                news = True
        if news:
            self.held = tuple(s for card in self.cards.values() for s in card.told)
        return self.held

    def _step(self, ts_ms: int, way: _Way, rate: float) -> bool:
        """Whether a minute has ended; between them there is nothing to think about."""
        mean = way.minute.step(ts_ms, rate)
        if mean is None:
            return False
        way.mean = mean
        usual = way.level.usual(ts_ms)
        recent = math.expm1(way.recent.value)
        way.recent.step(ts_ms, math.log1p(mean), T.recent_ms)
        spike = drop = spike_stays = drop_stays = large = False
        if usual:
            low, high = usual
            always = low >= T.worth
            large = mean - high >= T.more
            beyond = min(T.times, max(T.least_times, (high / low) ** 0.25)) if always else T.times
            sudden = way.spike.since_ms >= 0 or mean >= T.times * recent
            spike = (large and mean >= T.times * high) or (always and sudden and mean >= beyond * high)
            spike_stays = mean >= T.stay_times * high
            sudden = way.drop.since_ms >= 0 or mean <= T.sudden * recent
            drop = always and sudden and mean <= T.left * low
            drop_stays = always and mean <= T.stay_left * low
        since = max(way.spike.since_ms, way.drop.since_ms)
        was_open = way.spike.is_open or way.drop.is_open
        way.spike.step(ts_ms, enter=spike, stay=spike_stays, after_ms=T.after_ms, until_ms=T.until_ms)
        way.drop.step(ts_ms, enter=drop, stay=drop_stays, after_ms=T.after_ms, until_ms=T.until_ms)
        is_open = way.spike.is_open or way.drop.is_open
        way.large = way.spike.is_open and (way.large or (spike and large))
        suspect = spike or drop or way.spike.since_ms >= 0 or way.drop.since_ms >= 0
        # What is being reported is not learned, until it has lasted so long that it is how the host is.
        lasted = suspect and since >= 0 and ts_ms - since >= T.normal_ms
        if not suspect or lasted:
            way.level.learn(ts_ms, mean)
        else:
            way.level.doubt()
        if is_open and (way.worst_ms < 0 or (mean > way.worst if way.spike.is_open else mean < way.worst)):
            way.worst, way.worst_ms = mean, ts_ms
        if was_open and not is_open:
            self.ended = BECAME_NORMAL if way.told_normal else RECOVERED
            way.level.learn_half(way.worst_ms, way.worst)
            way.worst_ms = -1
        way.told_normal = lasted
        return True


def physical(interfaces: Sequence[NetworkInterface], most: int) -> list[NetworkInterface]:
    """Those whose traffic does not go through another one as well."""
    return [i for i in interfaces if not is_virtual(i.interface)][:most]


def _said(ts_ms: int, host: str, interface: NetworkInterface, card: _Card) -> Iterator[Sighting]:
    before = {s.finding: s.since_ms for s in card.told}
    for finding, open_ways in (
        ("network_spike", [w for w in card.ways if w.spike.is_open]),
        ("network_drop", [w for w in card.ways if w.drop.is_open]),
    ):
        if open_ways:
            first = min(w.spike.since_ms if finding == "network_spike" else w.drop.since_ms for w in open_ways)
            yield _sighting(ts_ms, host, interface, finding, open_ways, before.get(finding, first))


def _sighting(
    ts_ms: int, host: str, interface: NetworkInterface, finding: str, ways: Sequence[_Way], since_ms: int
) -> Sighting:
    contributions, parts = [], []
    evidence: dict[str, str] = {}
    for way in ways:
        low, high = way.level.usual(ts_ms) or (0.0, 0.0)
        rate = way.mean
        usual = f"{size(low)}/s to {size(high)}/s"
        parts.append(f"{size(rate)}/s {way.name} (usually {usual} at this hour)")
        evidence |= {way.name: f"{size(rate)}/s", f"usually {way.name}": usual}
        contributions.append(
            share(way.metric, rate, low, high, {"interface": interface.interface}).model_copy(
                update={"share": 1 / len(ways)}
            )
        )
    evidence["for"] = span(ts_ms - since_ms)
    title = "Network traffic spike" if finding == "network_spike" else "Network traffic is gone"
    return Sighting(
        finding=finding,
        labels={"interface": interface.interface},
        severity="warning" if finding == "network_drop" or any(w.large for w in ways) else "info",
        since_ms=since_ms,
        summary=f"{title} on {host}: {interface.interface} {', '.join(parts)}",
        evidence=evidence,
        contributions=tuple(contributions),
    )
