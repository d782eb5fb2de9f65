"""A file system that will be full, and when; one that has next to nothing left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.growth import Forecast, Growth, Limits
from services.detector.findings.hold import Hold
from services.detector.findings.port import GONE, MAX_OF_A_KIND, RECOVERED, Sighting, Watching, each, gone, share
from services.detector.findings.words import between, number, size, span
from shared.schemas.anomaly import Contribution, Severity
from shared.schemas.sample import Disk, HostSample

HOUR_MS = 3_600_000
_GB = 1e9
IT_IS_FULL = "it is full"
GROWTH = Limits(
    widths_ms=(15_000, 60_000, 300_000, 1_800_000, 10_800_000, 43_200_000),
    points=(5, 8, 16),
    reach=6,
    farthest_ms=14 * 24 * HOUR_MS,
    least=0.01,
)


@dataclass(frozen=True)
class Thresholds:
    """``warning`` and ``critical``: time left. Full: percent used, and no more than so many bytes left."""

    warning_ms: int = 3 * 24 * HOUR_MS
    critical_ms: int = 2 * HOUR_MS
    settle_ms: int = 60_000
    full: float = 95
    full_free: float = 50 * _GB
    stay: float = 93
    critical: float = 98
    critical_free: float = 5 * _GB
    until_ms: int = 30_000


T = Thresholds()


class _Mount(msgspec.Struct):
    growth: Growth = msgspec.field(default_factory=lambda: Growth.new(GROWTH))
    filling: Hold = msgspec.field(default_factory=Hold)
    told: Sighting | None = None
    full: Hold = msgspec.field(default_factory=Hold)
    critical: bool = False


class DiskFilling(Watching):
    """Read-only file systems are as full as they are meant to be."""

    section: ClassVar[str] = "disks"
    mounts: dict[str, _Mount] = msgspec.field(default_factory=dict)

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.disks is None:
            return self.held
        held: list[Sighting] = []
        there = [d for d in sample.disks if not d.read_only and d.used + d.free > 0][:MAX_OF_A_KIND]
        for disk, mount in each(self.mounts, {d.mountpoint: d for d in there}, _Mount):
            held += self._full(ts_ms, sample.host, disk, mount)
            held += self._filling(ts_ms, sample.host, disk, mount)
        if gone(self.held, "mountpoint", [d.mountpoint for d in sample.disks]):
            self.ended = GONE
        self.held = tuple(held)
        return self.held

    def _filling(self, ts_ms: int, host: str, disk: Disk, mount: _Mount) -> Sequence[Sighting]:
        forecast = mount.growth.observe(ts_ms, disk.used, disk.used + disk.free, GROWTH)
        if forecast is not None and not mount.filling.is_open:
            mount.filling.since_ms = mount.growth.since_ms
        if not mount.filling.step(
            ts_ms, enter=forecast is not None, stay=forecast is not None, after_ms=0, until_ms=T.settle_ms
        ):
            if mount.told:
                self.ended = IT_IS_FULL if disk.percent >= T.full else RECOVERED
            mount.told = None
        elif forecast is not None:
            mount.told = _filling(host, disk, mount.filling.since_ms, forecast)
        return (mount.told,) if mount.told else ()

    def _full(self, ts_ms: int, host: str, disk: Disk, mount: _Mount) -> Sequence[Sighting]:
        little = disk.free <= T.full_free
        was_full = mount.full.is_open
        if not mount.full.step(
            ts_ms,
            enter=disk.percent >= T.full and little,
            stay=disk.percent >= T.stay and disk.free <= T.full_free * 1.2,
            after_ms=0,
            until_ms=T.until_ms,
        ):
            if was_full:
                self.ended = RECOVERED
            mount.critical = False
            return ()
        mount.critical = mount.critical or (disk.percent >= T.critical and disk.free <= T.critical_free)
        return (
            Sighting(
                finding="disk_full",
                labels={"mountpoint": disk.mountpoint},
                severity="critical" if mount.critical else "warning",
                since_ms=mount.full.since_ms,
                summary=f"A disk is full on {host}: {disk.mountpoint} {number(disk.percent)} %, {size(disk.free)} left",
                evidence=_evidence(disk),
                contributions=(_share(disk, T.full),),
            ),
        )


def _filling(host: str, disk: Disk, since_ms: int, forecast: Forecast) -> Sighting:
    per_hour = forecast.rate / (disk.used + disk.free) * 100
    rate = f"{number(per_hour)} %/h" if per_hour < 60 else f"{number(per_hour / 60)} %/min"
    left, interval = span(forecast.full_ms), between(forecast.soonest_ms, forecast.latest_ms)
    return Sighting(
        finding="disk_filling",
        labels={"mountpoint": disk.mountpoint},
        severity=severity(forecast.full_ms, T.warning_ms, T.critical_ms),
        since_ms=since_ms,
        summary=f"A disk is filling up on {host}: {disk.mountpoint} {number(disk.percent)} % and rising {rate}, "
        f"full in about {left} ({interval})",
        evidence=_evidence(disk) | {"rate": f"{size(forecast.rate)}/h", "full in": left, "between": interval},
        contributions=(_share(disk, max(0.0, disk.percent - forecast.growth / (disk.used + disk.free) * 100)),),
    )


def severity(left_ms: float, warning_ms: float, critical_ms: float) -> Severity:
    return "critical" if left_ms <= critical_ms else "warning" if left_ms <= warning_ms else "info"


def _evidence(disk: Disk) -> dict[str, str]:
    return {"used": f"{size(disk.used)} of {size(disk.total)}", "left": size(disk.free), "device": disk.device[:80]}


def _share(disk: Disk, high: float) -> Contribution:
    return share("disk.percent", disk.percent, 0, high, {"mountpoint": disk.mountpoint})
