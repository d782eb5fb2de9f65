"""Section ``temperatures``: the kernel's hardware monitors, or its thermal zones where there are none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from services.agent.collectors.base import text
from services.agent.procfile import read_text

_LOWEST, _HIGHEST = -273.15, 10_000.0


def parse_millidegrees(content: str) -> float | None:
    """Celsius; ``None`` for what is not a temperature (a sensor that is not connected says so in odd ways)."""
    try:
        celsius = float(content) / 1000
    except ValueError:
        return None
    return round(celsius, 1) if _LOWEST <= celsius <= _HIGHEST else None


class TemperaturesCollector:
    section = "temperatures"

    def __init__(self, sys: str = "/sys") -> None:
        self._monitors = Path(sys, "class/hwmon")
        self._zones = Path(sys, "class/thermal")

    def collect(self, now: float) -> list[dict[str, Any]]:
        inputs = sorted(self._monitors.glob("hwmon*/temp*_input")) or sorted(
            self._monitors.glob("hwmon*/device/temp*_input")  # kernels before 3.14
        )
        found = [_of_monitor(path) for path in inputs] or [
            _of_zone(zone) for zone in sorted(self._zones.glob("thermal_zone*"))
        ]
        return [temperature for temperature in found if temperature is not None]


def _of_monitor(path: Path) -> dict[str, Any] | None:
    base = str(path).removesuffix("_input")
    return _temperature(
        sensor=read_text(str(path.parent / "name")) or path.parent.name,
        label=read_text(f"{base}_label"),
        celsius=read_text(str(path)),
        high=read_text(f"{base}_max"),
        critical=read_text(f"{base}_crit"),
    )


def _of_zone(zone: Path) -> dict[str, Any] | None:
    limits = {}
    for path in zone.glob("trip_point_*_type"):
        number = re.sub(r"\D", "", path.name)
        limits[read_text(str(path))] = read_text(str(zone / f"trip_point_{number}_temp"))
    return _temperature(
        sensor=read_text(str(zone / "type")) or zone.name,
        label="",
        celsius=read_text(str(zone / "temp")),
        high=limits.get("hot", ""),
        critical=limits.get("critical", ""),
    )


def _temperature(sensor: str, label: str, celsius: str, high: str, critical: str) -> dict[str, Any] | None:
    value = parse_millidegrees(celsius)
    if value is None:
        return None
    found: dict[str, Any] = {"sensor": text(sensor), "celsius": value}
    if label:
        found["label"] = text(label)
    for name, content in (("high", high), ("critical", critical)):
        limit = parse_millidegrees(content)
        if limit:  # a limit of zero is a sensor without one
            found[name] = limit
    return found
