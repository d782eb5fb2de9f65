"""A sensor near the limit its maker gave it, or much warmer than it ever is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.level import DAY_MS, Minute
from services.detector.findings.port import MAX_OF_A_KIND, RECOVERED, Sighting, Watching, each, share
from services.detector.findings.words import number
from shared.schemas.sample import HostSample, Temperature


@dataclass(frozen=True)
class Thresholds:
    """Degrees Celsius. ``near`` the critical value; limits outside ``believed`` are what drivers make up. Without a
    limit: ``above`` the warmest minute known, and at least ``warm``; the warmest is forgotten by ``fading`` a day.
    """

    near: float = 3
    cooler: float = 5
    believed: tuple[float, float] = (40, 130)
    above: float = 12
    warm: float = 65
    fading: float = 0.5
    after_ms: int = 30_000
    until_ms: int = 60_000


T = Thresholds()


class _Sensor(msgspec.Struct):
    minute: Minute = msgspec.field(default_factory=Minute)
    first_ms: int = -1
    warmest: float = -300.0
    learned_ms: int = -1
    limit: float = 0.0
    hold: Hold = msgspec.field(default_factory=Hold)
    critical: bool = False


class TooHot(Watching):
    section: ClassVar[str] = "temperatures"
    sensors: dict[str, _Sensor] = msgspec.field(default_factory=dict)

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.temperatures is None:
            return self.held
        held = []
        there = {_name(t): t for t in sample.temperatures[:MAX_OF_A_KIND]}
        for reading, sensor in each(self.sensors, there, lambda: _Sensor(first_ms=ts_ms)):
            limit = _limit(ts_ms, reading, sensor)
            celsius = reading.celsius
            if limit is not None:
                sensor.limit = limit
            if sensor.hold.step(
                ts_ms,
                enter=limit is not None and celsius >= limit,
                stay=limit is not None and celsius >= limit - T.cooler,
                after_ms=T.after_ms,
                until_ms=T.until_ms,
            ):
                critical = _believed(reading.critical)
                sensor.critical = sensor.critical or (critical is not None and celsius >= critical - T.near)
                held.append(_said(sample.host, reading, sensor))
            else:
                sensor.critical = False
            _learn(ts_ms, sensor, celsius)
        self.ended = RECOVERED
        self.held = tuple(held)
        return self.held


def _name(reading: Temperature) -> str:
    return f"{reading.sensor}/{reading.label}"


def _believed(limit: float | None) -> float | None:
    return limit if limit is not None and T.believed[0] <= limit <= T.believed[1] else None


def _limit(ts_ms: int, reading: Temperature, sensor: _Sensor) -> float | None:
    """Where the finding opens; ``None`` while nothing is known."""
    high, critical = _believed(reading.high), _believed(reading.critical)
    known = [x for x in (high, critical - T.near if critical is not None else None) if x is not None]
    if known:
        return min(known)
    if ts_ms - sensor.first_ms < DAY_MS:
        return None
    return max(sensor.warmest + T.above, T.warm)


def _learn(ts_ms: int, sensor: _Sensor, celsius: float) -> None:
    mean = sensor.minute.step(ts_ms, celsius)
    if mean is not None and sensor.hold.since_ms < 0:
        faded = sensor.warmest - T.fading * max(0, ts_ms - sensor.learned_ms) / DAY_MS
        sensor.warmest, sensor.learned_ms = max(mean, faded if sensor.learned_ms >= 0 else mean), ts_ms


def _said(host: str, reading: Temperature, sensor: _Sensor) -> Sighting:
    name = _name(reading)
    limit = sensor.limit
    evidence = {"now": f"{number(reading.celsius)} °C", "opens at": f"{number(limit)} °C"}
    if reading.critical is not None:
        evidence["critical"] = f"{number(reading.critical)} °C"
    return Sighting(
        finding="temperature",
        labels={"sensor": name},
        severity="critical" if sensor.critical else "warning",
        since_ms=sensor.hold.since_ms,
        summary=f"Too hot on {host}: {name.rstrip('/')} {number(reading.celsius)} °C (limit {number(limit)} °C)",
        evidence=evidence,
        contributions=(share("temperature.celsius", reading.celsius, 0, limit, {"sensor": name}),),
    )
