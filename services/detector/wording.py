"""What an anomaly is, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from shared.schemas.anomaly import Contribution
from shared.schemas.metrics import BY_NAME

_NAMED = 3

_FINDINGS: tuple[tuple[str, str, float], ...] = (
    ("cpu.percent", "cpu_overload", 85),
    ("memory.percent", "memory_pressure", 85),
    ("swap.out_bytes_per_s", "memory_pressure", 0),
    ("disk.percent", "disk_full", 90),
    ("disk.inodes_percent", "disk_full", 90),
    ("cpu.iowait", "disk_slow", 15),
    ("disk_io.await_ms", "disk_slow", 50),
    ("gpu.load", "gpu_overload", 85),
)
_TITLES = {
    "cpu_overload": "CPU overloaded",
    "memory_pressure": "Memory is running out",
    "disk_full": "A disk is filling up",
    "disk_slow": "Disks are slow",
    "gpu_overload": "GPU overloaded",
    "unusual": "Unusual behaviour",
}


def finding(contributions: Sequence[Contribution]) -> str:
    """What kind of anomaly it is: by the largest contribution that says so."""
    for contribution in contributions:
        for metric, name, least in _FINDINGS:
            if contribution.metric == metric and contribution.value >= least and contribution.share >= 0.1:
                return name
    return "unusual"


def summary(host: str, contributions: Sequence[Contribution], ended: str | None = None) -> str:
    """``CPU overloaded on web-1: cpu.percent 99.8 % (usually 0 to 27.1), …``, at most 1024 characters."""
    title = f"{_TITLES[finding(contributions)]} on {host}"
    metrics = ", ".join(_phrase(c) for c in contributions[:_NAMED])
    sentence = f"{title}: {metrics}" if metrics else title
    return (f"Over ({ended}): {sentence}" if ended else sentence)[:1024]


def moved(contribution: Contribution, value: float) -> str:
    """``cpu.percent 98 % (was 0 to 27.1 %)``"""
    return _phrase(contribution.model_copy(update={"value": value}), "was")


def _phrase(contribution: Contribution, word: str = "usually") -> str:
    label = "".join(f" {label}" for label in contribution.labels.values())
    unit = _unit(contribution.metric)
    return (
        f"{contribution.metric}{label} {_number(contribution.value, unit)} "
        f"({word} {_number(contribution.expected_low, unit if unit.startswith('B') else '')} "
        f"to {_number(contribution.expected_high, unit)})"
    )


def _unit(metric: str) -> str:
    unit = BY_NAME[metric].unit if metric in BY_NAME else ""
    return {
        "percent": "%",
        "bytes per second": "B/s",
        "packets per second": "/s",
        "per second": "/s",
        "milliseconds": "ms",
        "degrees Celsius": "°C",
        "bytes": "B",
    }.get(unit, "")


def _number(value: float, unit: str) -> str:
    if unit in ("B", "B/s"):
        for prefix in ("", "k", "M", "G"):
            if abs(value) < 1000:
                return f"{value:.3g} {prefix}{unit}"
            value /= 1000
        return f"{value:.3g} T{unit}"
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".rstrip()
