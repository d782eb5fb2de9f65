"""A number that goes between two levels again and again: something comes and goes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.network_traffic import physical
from services.detector.findings.port import BECAME_NORMAL, RECOVERED, Sighting, Watching, share
from services.detector.findings.smooth import Smooth
from services.detector.findings.words import number, span
from shared.schemas.metrics import BY_NAME
from shared.schemas.sample import HostSample


@dataclass(frozen=True)
class Thresholds:
    """``crossings`` from one level to the other within ``window_ms``, and ``times`` what the last day would expect.
    ``low``, ``high``: where the trigger turns, as shares of the way from the lower level to the upper. ``between``: the
    share of time a number may spend on the way; noise and waves are there most of the time. ``rare``: the share it must
    at least spend on each level; a job that runs now and then does not flap.
    """

    crossings: int = 8
    stay: int = 4
    window_ms: int = 1_800_000
    quiet_ms: int = 600_000
    times: float = 3
    low: float = 0.25
    high: float = 0.75
    between: float = 0.3
    rare: float = 0.3
    coarse_ms: int = 30_000
    """From this cadence on a change takes no time, and little may be between."""
    between_coarse: float = 0.1
    every_ms: int = 4_000
    smooth_ms: int = 20_000
    levels_ms: int = 1_800_000
    usual_ms: int = 86_400_000
    most: int = 32
    interfaces: int = 2


T = Thresholds()


@dataclass(frozen=True)
class Matters:
    """What a move must be to be one: so much, and by such a factor."""

    least: float
    factor: float = 1.0


_MATTERS = {
    "cpu.percent": Matters(30),
    "processes.count": Matters(10, 1.1),
    "network.recv_bytes_per_s": Matters(300_000, 3),
    "network.sent_bytes_per_s": Matters(300_000, 3),
}


class _Series(msgspec.Struct):
    """``up`` says on which level it is; ``crossed`` holds the times of the crossings in the window;
    ``spent`` is for how long there were two levels (ms, forgotten), ``way`` of that between them, ``upper`` on the
    upper.
    """

    smooth: Smooth = msgspec.field(default_factory=Smooth)
    low: float = 0.0
    high: float = 0.0
    up: bool = False
    last_ms: int = -1
    spent: float = 0.0
    way: float = 0.0
    upper: float = 0.0
    crossed: list[int] = msgspec.field(default_factory=list)
    usual: float = 0.0
    usual_ms: int = -1
    hold: Hold = msgspec.field(default_factory=Hold)

    def step(self, ts_ms: int, value: float, matters: Matters) -> None:
        if self.last_ms >= 0 and ts_ms - self.last_ms < T.every_ms:
            return
        x = self.smooth.step(ts_ms, value, T.smooth_ms)
        if self.last_ms < 0:
            self.low = self.high = x
        else:
            drift = -math.expm1((self.last_ms - ts_ms) / T.levels_ms)
            self.high = x if x > self.high else self.high + (x - self.high) * drift
            self.low = x if x < self.low else self.low + (x - self.low) * drift
        took, self.last_ms = ts_ms - max(0, self.last_ms), ts_ms
        move = self.high - self.low
        if move < matters.least or self.high < matters.factor * self.low:
            self.spent = self.way = self.upper = 0.0
            self.up, self.crossed = False, []
            return
        part = (x - self.low) / move
        kept = math.exp(-took / T.window_ms)
        self.spent = self.spent * kept + took
        self.way = self.way * kept + took * (T.low < part < T.high)
        if (part <= T.low) if self.up else (part >= T.high):
            self.up = not self.up
            self.usual = self._expected(ts_ms) + 1
            self.usual_ms = ts_ms
            self.crossed = [*self.crossed, ts_ms][-T.most :]
        self.upper = self.upper * kept + took * self.up

    def held(self, ts_ms: int) -> bool:
        if not self.crossed:
            return self.hold.is_open and self._hold(ts_ms, 0, False)
        self.crossed = [t for t in self.crossed if ts_ms - t <= T.window_ms]
        count = len(self.crossed)
        return self._hold(ts_ms, count, self.normal(ts_ms))

    def normal(self, ts_ms: int) -> bool:
        """Whether it does so all day."""
        return len(self.crossed) < T.times * self._expected(ts_ms) * T.window_ms / T.usual_ms

    def _expected(self, ts_ms: int) -> float:
        return self.usual * math.exp((self.usual_ms - ts_ms) / T.usual_ms) if self.usual_ms >= 0 else 0.0

    def _hold(self, ts_ms: int, count: int, normal: bool) -> bool:
        between = T.between if self.hold.step_ms < T.coarse_ms else T.between_coarse
        lasts = count >= T.stay and ts_ms - self.crossed[-1] <= T.quiet_ms and not normal
        two_levels = (
            self.spent >= T.window_ms / 4
            and self.way <= between * self.spent
            and T.rare * self.spent <= self.upper <= (1 - T.rare) * self.spent
        )
        return self.hold.step(
            ts_ms, enter=lasts and two_levels and count >= T.crossings, stay=lasts, after_ms=0, until_ms=0
        )


class Flapping(Watching):
    """The metrics in ``_MATTERS``, of interfaces the first two."""

    section: ClassVar[str] = "cpu"
    series: dict[str, _Series] = msgspec.field(default_factory=dict)

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        held: list[Sighting] = []
        seen = False
        for metric, label, value in _values(sample):
            key = f"{metric}{{{label}}}" if label else metric
            series = self.series.get(key)
            if series is None:
                if len(self.series) >= len(_MATTERS) + 2 * T.interfaces:
                    continue
                series = self.series[key] = _Series()
            series.step(ts_ms, value, _MATTERS[metric])
            was_open = series.hold.is_open
            if (series.crossed or was_open) and not series.held(ts_ms) and was_open:
                self.ended = BECAME_NORMAL if series.crossed and series.normal(ts_ms) else RECOVERED
            seen = True
        if seen and (self.held or any(s.hold.is_open for s in self.series.values())):
            held = [_said(ts_ms, sample.host, key, s) for key, s in self.series.items() if s.hold.is_open]
            self.held = tuple(held)
        return self.held


def _values(sample: HostSample) -> Iterator[tuple[str, str, float]]:
    if sample.cpu:
        yield "cpu.percent", "", sample.cpu.percent
    if sample.processes:
        yield "processes.count", "", sample.processes.count
    for interface in physical(sample.network or (), T.interfaces):
        yield "network.recv_bytes_per_s", interface.interface, interface.recv_bytes_per_s
        yield "network.sent_bytes_per_s", interface.interface, interface.sent_bytes_per_s


def _said(ts_ms: int, host: str, key: str, series: _Series) -> Sighting:
    metric, _, label = key.rstrip("}").partition("{")
    unit = {"percent": " %", "bytes per second": " B/s"}.get(BY_NAME[metric].unit, "")
    low, high = f"{number(series.low)}{unit}", f"{number(series.high)}{unit}"
    count, first = len(series.crossed), series.crossed[0]
    labels = {"interface": label} if label else {}
    return Sighting(
        finding="flapping",
        labels={"metric": key},
        severity="warning",
        since_ms=series.hold.since_ms,
        summary=f"Flapping on {host}: {metric}{' ' + label if label else ''} went between {low} and {high} "
        f"{count} times in {span(ts_ms - first)}",
        evidence={"metric": key, "levels": f"{low} and {high}", "crossings": f"{count} in {span(ts_ms - first)}"},
        contributions=(share(metric, series.smooth.value, series.low, series.high, labels),),
    )
