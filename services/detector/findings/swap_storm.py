"""Memory goes out to swap and is wanted back at once: the machine works for its swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.port import RECOVERED, Sighting, Watching, share
from services.detector.findings.smooth import Smooth
from services.detector.findings.words import number, size
from shared.schemas.sample import HostSample

_MIB = float(1 << 20)


@dataclass(frozen=True)
class Thresholds:
    """Bytes a second, of the smaller of both directions: what only goes out was not needed, and that is well."""

    enter: float = _MIB
    stay: float = _MIB / 4
    critical: float = 20 * _MIB
    after_ms: int = 60_000
    until_ms: int = 120_000
    smooth_ms: int = 20_000


T = Thresholds()


class SwapStorm(Watching):
    section: ClassVar[str] = "swap"
    came: Smooth = msgspec.field(default_factory=Smooth)
    went: Smooth = msgspec.field(default_factory=Smooth)
    hold: Hold = msgspec.field(default_factory=Hold)
    critical: bool = False

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if not (swap := sample.swap):
            return self.held
        if self.hold.since_ms < 0 and not swap.in_bytes_per_s:
            self.came.value, self.came.last_ms = 0.0, ts_ms
            return ()
        came = self.came.step(ts_ms, swap.in_bytes_per_s, T.smooth_ms)
        went = self.went.step(ts_ms, swap.out_bytes_per_s, T.smooth_ms)
        both = min(came, went)
        if not self.hold.step(
            ts_ms, enter=both >= T.enter, stay=both >= T.stay, after_ms=T.after_ms, until_ms=T.until_ms
        ):
            self.held, self.critical, self.ended = (), False, RECOVERED
            return self.held
        self.critical = self.critical or both >= T.critical
        evidence = {"read back": f"{size(came)}/s", "written": f"{size(went)}/s", "swap": f"{number(swap.percent)} %"}
        if sample.memory:
            evidence["memory"] = f"{number(sample.memory.percent)} %"
        self.held = (
            Sighting(
                finding="swap_storm",
                labels={},
                severity="critical" if self.critical else "warning",
                since_ms=self.hold.since_ms,
                summary=f"Swap storm on {sample.host}: {size(went)}/s written to swap and {size(came)}/s read back, "
                f"swap {number(swap.percent)} % used",
                evidence=evidence,
                contributions=(share("swap.in_bytes_per_s", came, 0, T.enter),),
            ),
        )
        return self.held
