"""Memory that is taken and never given back, by the host as a whole or by one process, and when there is none left.

Looked at is the least of each time bucket, so that what a garbage collector gives back does not count, and what
``available`` leaves out, so that caches do not either. Swap counts as memory: what moves there is still taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import msgspec

from services.detector.findings.growth import Forecast, Growth, Limits
from services.detector.findings.hold import Hold
from services.detector.findings.port import RECOVERED, Sighting, Watching, share
from services.detector.findings.words import between, number, size, span
from shared.schemas.anomaly import Severity
from shared.schemas.sample import HostSample, Memory, Process

HOUR_MS = 3_600_000
GROWTH = Limits(
    widths_ms=(60_000, 300_000, 1_800_000, 10_800_000),
    points=(6, 10, 15),
    shortest_ms=540_000,
    reach=6,
    farthest_ms=7 * 24 * HOUR_MS,
    least=0.02,
    rising=0.85,
    step=0.4,
    tail=0.75,
    whole=True,
)

OF_PROCESSES = replace(GROWTH, widths_ms=GROWTH.widths_ms[:3])


@dataclass(frozen=True)
class Thresholds:
    """``least``: percent of the memory a process must have to be looked at; ``processes``: how many at most."""

    critical_ms: int = HOUR_MS
    settle_ms: int = 300_000
    least: float = 2
    processes: int = 6
    every_ms: int = 10_000
    look_every_ms: int = 20_000


T = Thresholds()


class _Grown(msgspec.Struct):
    """A process: ``base`` is what it had when it was first seen."""

    pid: int
    name: str
    base: int
    base_ms: int
    rss: int = 0
    growth: Growth = msgspec.field(default_factory=lambda: Growth.new(OF_PROCESSES))
    hold: Hold = msgspec.field(default_factory=Hold)
    told: Sighting | None = None


class MemoryLeak(Watching):
    """Processes by pid and time of creation."""

    section: ClassVar[str] = "memory"
    available: int = 0
    total: int = 0
    swap_used: int = 0
    swap_total: int = 0
    growth: Growth = msgspec.field(default_factory=lambda: Growth.new(GROWTH))
    hold: Hold = msgspec.field(default_factory=Hold)
    told: Sighting | None = None
    processes: dict[str, _Grown] = msgspec.field(default_factory=dict)
    seen_ms: int = -1
    looked_ms: int = -1

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.swap:
            self.swap_used, self.swap_total = sample.swap.used, sample.swap.total
        if sample.memory:
            self.available, self.total = sample.memory.available, sample.memory.total
        if sample.processes and self.total and (self.looked_ms < 0 or ts_ms - self.looked_ms >= T.look_every_ms):
            self.looked_ms = ts_ms
            self._look_at(ts_ms, sample.host, sample.processes.top)
        memory = sample.memory
        if not memory or (self.seen_ms >= 0 and ts_ms - self.seen_ms < T.every_ms):
            return self.held
        self.seen_ms = ts_ms
        forecast = self.growth.observe(
            ts_ms, memory.total - memory.available + self.swap_used, memory.total + self.swap_total, GROWTH, min
        )
        if _held(self.hold, ts_ms, self.growth, forecast):
            if forecast:
                self.told = self._host(sample.host, ts_ms, memory, forecast)
        else:
            self.told = None
        # One leak is told once: of the process where that was seen first, else of the host and who grew most. When the
        # process is gone, the host's is told only if memory still grows.
        of_processes = tuple(p.told for p in self.processes.values() if p.told)
        host_first = any(s.labels == {} for s in self.held) or (forecast is not None and not of_processes)
        self.held = (self.told,) if self.told and host_first else of_processes
        self.ended = RECOVERED
        return self.held

    def _look_at(self, ts_ms: int, host: str, top: Sequence[Process]) -> None:
        there = {}
        for process in sorted(top, key=lambda p: -p.memory_info.rss):
            key = f"{process.pid} {process.create_time}"
            if key in self.processes or process.memory_percent >= T.least:
                there[key] = process
        # Those that are known stay before others, or each would be forgotten before it is understood.
        chosen = sorted(there, key=lambda key: key not in self.processes)[: T.processes]
        self.processes = {key: self.processes.get(key) or _new(there[key], ts_ms) for key in chosen}
        for key, known in self.processes.items():
            known.rss = rss = there[key].memory_info.rss
            forecast = known.growth.observe(ts_ms, rss, rss + self.available, OF_PROCESSES, min)
            if _held(known.hold, ts_ms, known.growth, forecast):
                if forecast:
                    known.told = _process(host, known, forecast)
            else:
                known.told = None

    def _host(self, host: str, ts_ms: int, memory: Memory, forecast: Forecast) -> Sighting:
        left, interval = span(forecast.full_ms), between(forecast.soonest_ms, forecast.latest_ms)
        evidence = {
            "available": f"{size(memory.available)} of {size(memory.total)}",
            "rate": f"{size(forecast.rate)}/h",
            "none left in": left,
            "between": interval,
        }
        most = max(self.processes.values(), key=lambda p: p.rss - p.base, default=None)
        who = ""
        if most and most.rss - most.base >= forecast.growth / 3:
            who = (
                f"; {most.name[:40]} ({most.pid}) grew by {size(most.rss - most.base)} in {span(ts_ms - most.base_ms)}"
            )
            evidence["process"] = who[2:]
        percent = forecast.rate / (memory.total + self.swap_total) * 100
        return Sighting(
            finding="memory_leak",
            labels={},
            severity=_severity(forecast),
            since_ms=self.hold.since_ms,
            summary=f"Memory is leaking on {host}: {number(memory.percent)} % and rising {number(percent)} %/h, "
            f"none left in about {left} ({interval}){who}",
            evidence=evidence,
            contributions=(
                share("memory.percent", memory.percent, 0, _before(memory.percent, forecast.growth, memory.total)),
            ),
        )


def _held(hold: Hold, ts_ms: int, growth: Growth, forecast: Forecast | None) -> bool:
    if forecast and not hold.is_open:
        hold.since_ms = growth.since_ms
    return hold.step(ts_ms, enter=forecast is not None, stay=forecast is not None, after_ms=0, until_ms=T.settle_ms)


def _new(process: Process, ts_ms: int) -> _Grown:
    return _Grown(process.pid, process.name, process.memory_info.rss, ts_ms)


def _process(host: str, known: _Grown, forecast: Forecast) -> Sighting:
    left, interval = span(forecast.full_ms), between(forecast.soonest_ms, forecast.latest_ms)
    name = known.name[:40]
    return Sighting(
        finding="memory_leak",
        labels={"process": name, "pid": str(known.pid)},
        severity=_severity(forecast),
        since_ms=known.hold.since_ms,
        summary=f"Memory is leaking on {host}: {name} ({known.pid}) has {size(known.rss)} and takes "
        f"{size(forecast.rate)}/h more, none left in about {left} ({interval})",
        evidence={
            "rss": size(known.rss),
            "rate": f"{size(forecast.rate)}/h",
            "none left in": left,
            "between": interval,
        },
    )


def _severity(forecast: Forecast) -> Severity:
    return "critical" if forecast.full_ms <= T.critical_ms else "warning"


def _before(percent: float, growth: float, total: int) -> float:
    return max(0.0, percent - growth / total * 100)
