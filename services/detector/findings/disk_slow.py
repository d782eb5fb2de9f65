"""A block device that is busy all the time and makes everybody wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.port import MAX_OF_A_KIND, RECOVERED, Sighting, Watching, each, share
from services.detector.findings.smooth import Smooth
from services.detector.findings.words import number, size
from shared.schemas.sample import DiskIo, HostSample


@dataclass(frozen=True)
class Thresholds:
    """A request's mean time in ms while the device is busy that share of the time (percent)."""

    await_ms: float = 200
    stay_await_ms: float = 80
    critical_await_ms: float = 2_000
    busy: float = 80
    after_ms: int = 180_000
    until_ms: int = 120_000
    smooth_ms: int = 30_000


T = Thresholds()


class _Device(msgspec.Struct):
    wait: Smooth = msgspec.field(default_factory=Smooth)
    busy: Smooth = msgspec.field(default_factory=Smooth)
    hold: Hold = msgspec.field(default_factory=Hold)
    critical: bool = False


class DiskSlow(Watching):
    section: ClassVar[str] = "disk_io"
    devices: dict[str, _Device] = msgspec.field(default_factory=dict)

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.disk_io is None:
            return self.held
        held = []
        there = {io.device: io for io in sample.disk_io[:MAX_OF_A_KIND]}
        for io, device in each(self.devices, there, _Device):
            wait = device.wait.step(ts_ms, io.await_ms, T.smooth_ms)
            busy = device.busy.step(ts_ms, io.utilization_percent, T.smooth_ms)
            if device.hold.step(
                ts_ms,
                enter=wait >= T.await_ms and busy >= T.busy,
                stay=wait >= T.stay_await_ms and busy >= T.busy / 2,
                after_ms=T.after_ms,
                until_ms=T.until_ms,
            ):
                device.critical = device.critical or wait >= T.critical_await_ms
                held.append(_said(sample.host, io, device))
            else:
                device.critical = False
        self.ended = RECOVERED
        self.held = tuple(held)
        return self.held


def _said(host: str, io: DiskIo, device: _Device) -> Sighting:
    wait, busy = device.wait.value, device.busy.value
    return Sighting(
        finding="disk_slow",
        labels={"device": io.device},
        severity="critical" if device.critical else "warning",
        since_ms=device.hold.since_ms,
        summary=f"A disk is slow on {host}: {io.device} busy {number(busy)} % of the time, "
        f"a request takes {number(wait)} ms",
        evidence={
            "await": f"{number(wait)} ms",
            "busy": f"{number(busy)} %",
            "queue": number(io.queue_depth),
            "read": f"{size(io.read_bytes_per_s)}/s",
            "written": f"{size(io.write_bytes_per_s)}/s",
        },
        contributions=(share("disk_io.await_ms", wait, 0, T.await_ms, {"device": io.device}),),
    )
