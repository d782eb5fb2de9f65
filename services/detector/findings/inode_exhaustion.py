"""A file system that has no inodes left, or soon: there is space, but no file can be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.disk_filling import severity
from services.detector.findings.growth import Forecast, Growth, Limits
from services.detector.findings.hold import Hold
from services.detector.findings.port import GONE, MAX_OF_A_KIND, RECOVERED, Sighting, Watching, each, gone, share
from services.detector.findings.words import between, number, span
from shared.schemas.anomaly import Severity
from shared.schemas.sample import Disk, HostSample

HOUR_MS = 3_600_000
GROWTH = Limits(
    widths_ms=(15_000, 300_000, 10_800_000),
    points=(5, 8, 16),
    reach=6,
    farthest_ms=7 * 24 * HOUR_MS,
    least=0.01,
)


@dataclass(frozen=True)
class Thresholds:
    """Percent of inodes in use; time left."""

    full: float = 95
    stay: float = 93
    critical: float = 99
    warning_ms: int = 3 * 24 * HOUR_MS
    critical_ms: int = 2 * HOUR_MS
    until_ms: int = 60_000


T = Thresholds()


class _Mount(msgspec.Struct):
    growth: Growth = msgspec.field(default_factory=lambda: Growth.new(GROWTH))
    hold: Hold = msgspec.field(default_factory=Hold)
    told: Sighting | None = None


class InodeExhaustion(Watching):
    """File systems without a fixed number of inodes say 0 of 0 and are not looked at."""

    section: ClassVar[str] = "disks"
    mounts: dict[str, _Mount] = msgspec.field(default_factory=dict)

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.disks is None:
            return self.held
        there = [d for d in sample.disks if not d.read_only and d.inodes_total > 0][:MAX_OF_A_KIND]
        for disk, mount in each(self.mounts, {d.mountpoint: d for d in there}, _Mount):
            self._step(ts_ms, sample.host, disk, mount)
        self.ended = GONE if gone(self.held, "mountpoint", [d.mountpoint for d in sample.disks]) else RECOVERED
        self.held = tuple(m.told for m in self.mounts.values() if m.told)
        return self.held

    def _step(self, ts_ms: int, host: str, disk: Disk, mount: _Mount) -> None:
        forecast = mount.growth.observe(ts_ms, disk.inodes_used, disk.inodes_total, GROWTH)
        full = disk.inodes_percent >= T.full
        if forecast and not mount.hold.is_open:
            mount.hold.since_ms = mount.growth.since_ms
        enter = forecast is not None or full
        if not mount.hold.step(
            ts_ms, enter=enter, stay=enter or disk.inodes_percent >= T.stay, after_ms=0, until_ms=T.until_ms
        ):
            mount.told = None
        elif enter:
            mount.told = _said(host, disk, mount.hold.since_ms, forecast)


def _said(host: str, disk: Disk, since_ms: int, forecast: Forecast | None) -> Sighting:
    percent = disk.inodes_percent
    evidence = {"inodes": f"{disk.inodes_used} of {disk.inodes_total}", "used": f"{number(percent)} %"}
    when = ""
    if forecast:
        left, interval = span(forecast.full_ms), between(forecast.soonest_ms, forecast.latest_ms)
        evidence |= {"rate": f"{number(forecast.rate)}/h", "none left in": left, "between": interval}
        when = f", none left in about {left} ({interval})"
    by_level: Severity = "critical" if percent >= T.critical else "warning"
    by_time: Severity = severity(forecast.full_ms, T.warning_ms, T.critical_ms) if forecast else "warning"
    return Sighting(
        finding="inode_exhaustion",
        labels={"mountpoint": disk.mountpoint},
        severity="critical" if "critical" in (by_level, by_time) else by_level if percent >= T.full else by_time,
        since_ms=since_ms,
        summary=f"Inodes are running out on {host}: {disk.mountpoint} {number(percent)} % in use{when}",
        evidence=evidence,
        contributions=(share("disk.inodes_percent", percent, 0, T.full, {"mountpoint": disk.mountpoint}),),
    )
