"""The processors have nothing left, for longer than a burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.port import BECAME_NORMAL, RECOVERED, Sighting, Watching, share
from services.detector.findings.smooth import Smooth
from services.detector.findings.words import number
from shared.schemas.sample import HostSample


@dataclass(frozen=True)
class Thresholds:
    """Percent of all cores; ``load`` in tasks a core; ``usual``: a host that was busy this share of its last day is
    meant to be.
    """

    enter: float = 90
    stay: float = 80
    after_ms: int = 60_000
    until_ms: int = 60_000
    critical: float = 97
    critical_load: float = 2
    critical_after_ms: int = 300_000
    smooth_ms: int = 5_000
    usual: float = 0.5
    usual_over_ms: int = 86_400_000


T = Thresholds()


class CpuOverload(Watching):
    section: ClassVar[str] = "cpu"
    percent: Smooth = msgspec.field(default_factory=Smooth)
    busy: Smooth = msgspec.field(default_factory=Smooth)
    hold: Hold = msgspec.field(default_factory=Hold)
    worse: Hold = msgspec.field(default_factory=Hold)
    load1: float = 0.0
    who: str = ""
    critical: bool = False

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.load:
            self.load1 = sample.load.load1
        if not (cpu := sample.cpu):
            return self.held
        percent = self.percent.step(ts_ms, cpu.percent, T.smooth_ms)
        if self.busy.last_ms < 0:
            self.busy.step(ts_ms, 0.0, T.usual_over_ms)
        usual = self.busy.step(ts_ms, float(percent >= T.enter), T.usual_over_ms) > T.usual
        is_open = self.hold.step(
            ts_ms,
            enter=percent >= T.enter and not usual,
            stay=percent >= T.stay and not usual,
            after_ms=T.after_ms,
            until_ms=0 if usual else T.until_ms,
        )
        worse = self.worse.step(
            ts_ms,
            enter=percent >= T.critical and self.load1 > T.critical_load * cpu.count,
            stay=percent >= T.stay,
            after_ms=T.critical_after_ms,
            until_ms=0,
        )
        if not is_open:
            if self.held:
                self.ended = BECAME_NORMAL if usual else RECOVERED
            self.held, self.critical, self.who = (), False, ""
            return self.held
        # Once critical, critical to the end: it must not flicker.
        self.critical = self.critical or worse
        if sample.processes and sample.processes.top:
            self.who = _busiest(sample)
        self.held = (self._said(sample.host, cpu.percent, cpu.count),)
        return self.held

    def _said(self, host: str, percent: float, cores: int) -> Sighting:
        evidence = {"cpu": f"{number(percent)} %", "load1": f"{number(self.load1)} on {cores} cores"}
        if self.who:
            evidence["processes"] = self.who
        return Sighting(
            finding="cpu_overload",
            labels={},
            severity="critical" if self.critical else "warning",
            since_ms=self.hold.since_ms,
            summary=f"CPU overloaded on {host}: {number(percent)} % busy, load {number(self.load1)} on {cores} cores"
            + (f"; busiest: {self.who}" if self.who else ""),
            evidence=evidence,
            contributions=(share("cpu.percent", percent, 0, T.enter),),
        )


def _busiest(sample: HostSample) -> str:
    top = sorted(sample.processes.top if sample.processes else (), key=lambda p: -p.cpu_percent)[:3]
    return ", ".join(f"{p.name[:40]} ({p.pid}) {number(p.cpu_percent)} %" for p in top if p.cpu_percent >= 1)
