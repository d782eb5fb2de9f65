"""Tasks stand still because a resource is short: the kernel's own measure (PSI)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.port import RECOVERED, Sighting, Watching, share
from services.detector.findings.words import number
from shared.schemas.sample import HostSample


@dataclass(frozen=True)
class Threshold:
    """Percent of the time in ``field`` of the section ``pressure``."""

    resource: str
    field: str
    enter: float
    critical: float
    after_ms: int
    until_ms: int = 60_000
    stay: float = 0.6
    """Share of ``enter``."""


# Waiting for a CPU or a disk is what batch jobs do all night; waiting for memory is never well.
THRESHOLDS = (
    Threshold("memory", "memory_full_avg10", enter=10, critical=40, after_ms=20_000),
    Threshold("cpu", "cpu_some_avg60", enter=80, critical=101, after_ms=180_000),
    Threshold("io", "io_full_avg60", enter=60, critical=95, after_ms=300_000),
)


_TITLES = {"memory": "Memory", "cpu": "CPU", "io": "I/O"}


class PressureStorm(Watching):
    section: ClassVar[str] = "pressure"
    holds: tuple[Hold, Hold, Hold] = msgspec.field(default_factory=lambda: (Hold(), Hold(), Hold()))
    critical: list[bool] = msgspec.field(default_factory=lambda: [False] * len(THRESHOLDS))

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if not (pressure := sample.pressure):
            return self.held
        held = []
        for n, (limit, hold) in enumerate(zip(THRESHOLDS, self.holds, strict=True)):
            value: float = getattr(pressure, limit.field)
            if hold.since_ms < 0 and value < limit.enter:
                continue
            if hold.step(
                ts_ms,
                enter=value >= limit.enter,
                stay=value >= limit.enter * limit.stay,
                after_ms=limit.after_ms,
                until_ms=limit.until_ms,
            ):
                self.critical[n] = self.critical[n] or value >= limit.critical
                held.append(_said(sample.host, limit, hold.since_ms, value, self.critical[n]))
            else:
                self.critical[n] = False
        self.ended = RECOVERED
        self.held = tuple(held)
        return self.held


def _said(host: str, limit: Threshold, since_ms: int, value: float, critical: bool) -> Sighting:
    who = "all tasks" if "full" in limit.field else "some tasks"
    return Sighting(
        finding="pressure_storm",
        labels={"resource": limit.resource},
        severity="critical" if critical else "warning",
        since_ms=since_ms,
        summary=f"{_TITLES[limit.resource]} pressure on {host}: {who} stood still {number(value)} % of the time",
        evidence={f"pressure.{limit.field}": f"{number(value)} %"},
        contributions=(share(f"pressure.{limit.field}", value, 0, limit.enter),),
    )
