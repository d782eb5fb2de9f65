"""Many more tasks want to run than there are cores, and than usual at this time of the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.level import Level, Minute
from services.detector.findings.port import BECAME_NORMAL, RECOVERED, Sighting, Watching, share
from services.detector.findings.words import number
from shared.schemas.sample import HostSample


@dataclass(frozen=True)
class Thresholds:
    """Tasks a core; ``times`` the highest usual minute at this time of the day. Before a day is known, ``blind``."""

    enter: float = 2.0
    stay: float = 1.2
    times: float = 2.0
    stay_times: float = 1.3
    blind: float = 4.0
    critical: float = 6.0
    after_ms: int = 60_000
    until_ms: int = 120_000
    normal_ms: int = 6 * 3_600_000


T = Thresholds()


class LoadSpike(Watching):
    section: ClassVar[str] = "load"
    cores: int = 0
    level: Level = msgspec.field(default_factory=Level)
    minute: Minute = msgspec.field(default_factory=Minute)
    hold: Hold = msgspec.field(default_factory=Hold)
    critical: bool = False
    worst: float = 0.0
    worst_ms: int = -1

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.cpu:
            self.cores = sample.cpu.count
        if not sample.load or not self.cores:
            return self.held
        load = sample.load.load1
        per_core = load / self.cores
        enter = stay = False
        if per_core >= T.stay:  # only then is it worth asking what is usual
            usual = self.level.usual(ts_ms)
            enter = per_core >= (max(T.enter, T.times * usual[1] / self.cores) if usual else T.blind)
            stay = usual is None or load >= T.stay_times * usual[1]
        is_open = self.hold.step(ts_ms, enter=enter, stay=stay, after_ms=T.after_ms, until_ms=T.until_ms)
        self._learn(ts_ms, load, enter)
        if not is_open:
            if self.held:
                self.ended = BECAME_NORMAL if per_core >= T.enter else RECOVERED
            if self.worst_ms >= 0:
                self.level.learn_half(self.worst_ms, self.worst)
            self.held, self.critical, self.worst_ms = (), False, -1
            return self.held
        self.critical = self.critical or per_core >= T.critical
        self.held = (self._said(ts_ms, sample, load),)
        return self.held

    def _learn(self, ts_ms: int, load: float, unusual: bool) -> None:
        """What is being reported is not learned, until it has lasted so long that it is how the host is."""
        mean = self.minute.step(ts_ms, load)
        suspect = unusual or self.hold.since_ms >= 0
        if suspect and ts_ms - self.hold.since_ms < T.normal_ms:
            self.level.doubt()
        elif mean is not None:
            self.level.learn(ts_ms, mean)
        if mean is not None and self.hold.is_open and (self.worst_ms < 0 or mean > self.worst):
            self.worst, self.worst_ms = mean, ts_ms

    def _said(self, ts_ms: int, sample: HostSample, load: float) -> Sighting:
        usual = self.level.usual(ts_ms)
        high = usual[1] if usual else T.blind * self.cores
        evidence = {"load1": number(load), "cores": str(self.cores)}
        if usual:
            evidence["usually up to"] = number(high)
        if sample.processes:
            evidence["waiting for disks"] = str(sample.processes.disk_sleep)
        return Sighting(
            finding="load_spike",
            labels={},
            severity="critical" if self.critical else "warning",
            since_ms=self.hold.since_ms,
            summary=f"Load spike on {sample.host}: {number(load)} tasks want to run on {self.cores} cores"
            + (f" (usually up to {number(high)} at this hour)" if usual else ""),
            evidence=evidence,
            contributions=(share("cpu.load1", load, 0, high),),
        )
