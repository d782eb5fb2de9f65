"""Section ``cpu``: shares of all cores' time since the previous reading, as psutil computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil

from services.agent.collectors.base import Rest, finished
from services.agent.procfile import KeptFile
from services.agent.rates import Counters, percent

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
_IDLE, _IOWAIT, _GUEST = 3, 4, 8
FREQUENCY_EVERY = 30.0  # seconds: asking for it wakes every core


@dataclass(frozen=True)
class CpuReading:
    """Counters since boot, in ticks, in the order of ``MODES``."""

    total: tuple[int, ...]
    cores: dict[str, tuple[int, ...]]
    context_switches: int = 0
    interrupts: int = 0


def parse_stat(data: bytes) -> CpuReading:
    """``/proc/stat``. Modes that an old kernel lacks are zero. Raises ``ValueError`` without a total."""
    total: tuple[int, ...] | None = None
    cores: dict[str, tuple[int, ...]] = {}
    # The line of interrupts has thousands of numbers; only its first is wanted, so the lines before it are split alone.
    for line in data.partition(b"\nintr ")[0].split(b"\n"):
        if not line.startswith(b"cpu"):
            break
        name, *fields = line.split()
        ticks = tuple(map(int, fields[: len(MODES)])) + (0,) * (len(MODES) - len(fields))
        if name == b"cpu":
            total = ticks
        else:
            cores[name.decode()] = ticks
    if total is None:
        raise ValueError("/proc/stat has no line `cpu`")
    return CpuReading(total, cores or {"cpu0": total}, _first(data, b"\nctxt "), _first(data, b"\nintr "))


def _first(data: bytes, name: bytes) -> int:
    start = data.find(name)
    return 0 if start < 0 else int(data[start + len(name) : start + len(name) + 24].split(None, 1)[0])


def shares(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[float, list[float]]:
    """Busy percent, and the percent of each mode. A counter that went back (iowait may) counts as still."""
    growth = [max(0, b - a) for a, b in zip(before, after, strict=True)]
    whole = sum(growth[:_GUEST])  # guest time is in user and nice already
    return percent(whole - growth[_IDLE] - growth[_IOWAIT], whole), [percent(g, whole) for g in growth]


class CpuCollector:
    section = "cpu"

    def __init__(self, proc: str = "/proc") -> None:
        self._file = KeptFile(f"{proc}/stat", whole=True)
        self._before: CpuReading | None = None
        self._counters = Counters()
        self._freq: dict[str, float] = {}
        self._freq_due = 0.0

    def fetch(self) -> CpuReading:
        return parse_stat(self._file.read())

    def collect(self, now: float) -> dict[str, Any]:
        return finished(self.begin(now))  # type: ignore[no-any-return]

    def begin(self, now: float) -> dict[str, Any] | Rest:
        section = self._section(now)
        return section if now < self._freq_due else Rest(lambda: {**section, "freq": self._frequency(now)})

    def _section(self, now: float) -> dict[str, Any]:
        reading = self.fetch()
        before, self._before = self._before or reading, reading
        busy, modes = shares(before.total, reading.total)
        switches, interrupts = self._counters.rates("cpu", (reading.context_switches, reading.interrupts), now)
        guest = modes.pop() + modes.pop()
        return {
            "count": len(reading.cores),
            "percent": busy,
            "per_core": [shares(before.cores.get(name, ticks), ticks)[0] for name, ticks in reading.cores.items()],
            "modes": {**dict(zip(MODES, modes, strict=False)), "guest": min(100.0, round(guest, 1))},
            "freq": self._freq,
            "context_switches_per_s": round(switches),
            "interrupts_per_s": round(interrupts),
        }

    def _frequency(self, now: float) -> dict[str, float]:
        self._freq_due = now + FREQUENCY_EVERY
        self._freq = frequency()
        return self._freq


def frequency() -> dict[str, float]:
    """MHz; without the keys that the machine does not say (psutil's zero)."""
    try:
        freq = psutil.cpu_freq()
    except (AttributeError, NotImplementedError, OSError, RuntimeError, ValueError):
        return {}
    pairs = {"current": freq.current, "min": freq.min, "max": freq.max} if freq else {}
    return {name: round(mhz, 1) for name, mhz in pairs.items() if mhz and mhz > 0}
