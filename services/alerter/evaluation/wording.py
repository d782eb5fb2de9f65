"""Alerts in words: values with their units, and one sentence that says what, where, and how much against how much."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from services.alerter.rules.findings import FINDINGS, UNUSUAL
from services.alerter.rules.rule import Language
from shared.schemas.anomaly import Anomaly
from shared.schemas.metrics import BY_NAME

MOST_CONTRIBUTIONS = 5
_NAMED = 3

_USUALLY = {"en": "{value} (usually {low} to {high})", "zh": "{value}(通常为 {low} 至 {high})"}
_PROCESS = {
    "en": "{name} (pid {pid}): {cpu:.0f} % cpu, {memory:.1f} % memory",
    "zh": "{name}(pid {pid}):CPU {cpu:.0f} %,内存 {memory:.1f} %",
}

_BETWEEN_NUMBERS = re.compile(r" (?:of|in|on|to|and) (?=\d)")
_GREW = re.compile(r" (?:grew by|in) (?=\d[^()]*$)")

_STEPS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

_SENTENCES = {
    "en": {
        "metric": "{title} on {host}{where}: {value} (limit {threshold})",
        "forecast": "{title} on {host}{where}: {value}, {threshold} in about {left}",
        "absent": "{title}: {host}{where}, no {metric} for {value}",
        "silent": "{title}: {host}, nothing heard for {value}",
        "late": "{title} by {value}{where}",
        "anomaly": "{title} on {host}: score {value} (above {threshold} is unusual)",
    },
    "zh": {
        "metric": "{host} {title}{where}:{value}(阈值 {threshold})",
        "forecast": "{host} {title}{where}:{value},约 {left} 后达到 {threshold}",
        "absent": "{title}:{host}{where},已有 {value} 没有 {metric}",
        "silent": "{title}:{host},已有 {value} 没有数据",
        "late": "{title} {value}{where}",
        "anomaly": "{host} {title}:异常分数 {value}(高于 {threshold} 为异常)",
    },
}


def sentence(language: Language, condition: str, *, where: str, **words: str) -> str:
    """``words``: title, host, value, threshold, left, metric; ``where`` is the instance, empty where there is none."""
    return _SENTENCES[language][condition].format(where=f" {where}" if where else "", **words)


def found(language: Language, anomaly: Anomaly) -> str:
    """What was found, in its own words; empty where there are none.

    The detector's own sentence is English; another is made of its evidence, or else of what contributes most.
    """
    if language == "en":
        return anomaly.summary
    words = FINDINGS[anomaly.finding if anomaly.finding in FINDINGS else UNUSUAL][language]
    gaps = _gaps(anomaly)
    said = "".join(_filled(part, gaps) for part in words.says) or ";".join(contributions(language, anomaly)[:_NAMED])
    return f"{anomaly.host} {words.title}:{said}" if said else ""


def contributions(language: Language, anomaly: Anomaly) -> list[str]:
    """What contributes most, the largest first: ``cpu.percent 99.2 % (usually 3.0 % to 20.0 %)``"""
    worst = sorted(anomaly.contributions, key=lambda c: -c.share)[:MOST_CONTRIBUTIONS]
    return [
        " ".join([c.metric, *c.labels.values(), unusual(language, c.metric, c.value, c.expected_low, c.expected_high)])
        for c in worst
    ]


def _filled(part: str, gaps: dict[str, Any]) -> str:
    try:
        return part.format_map(gaps)
    except (KeyError, IndexError):
        return ""


def _gaps(anomaly: Anomaly) -> dict[str, Any]:
    """The evidence's numbers without the English between them: ``4 in 3 min`` is two of them."""
    gaps: dict[str, Any] = {"labels": anomaly.labels}
    for name, text in anomaly.evidence.items():
        parts = _BETWEEN_NUMBERS.split(text) if text[:1].isdigit() else _GREW.split(text)
        gaps[name.replace(".", " ")] = [part.removesuffix(" cores").replace(" days", " 天") for part in parts]
    if "between" in gaps:
        gaps["between"] = [" 至 ".join(gaps["between"])]
    return gaps


def unusual(language: Language, metric: str, value: float, low: float, high: float) -> str:
    """``99.2 % (usually 3.0 % to 20.0 %)``"""
    words = {"value": quantity(metric, value), "low": quantity(metric, low), "high": quantity(metric, high)}
    return _USUALLY[language].format(**words)


def process(language: Language, name: str, pid: int, cpu: float, memory: float) -> str:
    """``python (pid 7): 99 % cpu, 1.0 % memory``; the cpu of one core, the memory of the machine."""
    return _PROCESS[language].format(name=name, pid=pid, cpu=cpu, memory=memory)


def quantity(metric: str, value: float | None) -> str:
    """``97.2 %``, ``1.5 GiB/s``, ``75 s``; metrics are those of the catalogue, or ``seconds``, or none."""
    if value is None:
        return "?"
    if metric == "seconds":
        return duration(value * 1000)
    known = BY_NAME.get(metric)
    if known is None or known.unit == "score":
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if known.unit.startswith("bytes"):
        return _binary(value) + known.unit.removeprefix("bytes").replace(" per second", "/s")
    unit = {"percent": " %", "per second": "/s", "degrees Celsius": " °C", "milliseconds": " ms"}
    number = f"{value:.{known.decimals}f}"
    return number + unit.get(known.unit, f" {known.unit}")


def _binary(value: float) -> str:
    for step in _STEPS:
        if abs(value) < 1024 or step == _STEPS[-1]:
            return f"{value:.0f} {step}" if step == "B" else f"{value:.1f} {step}"
        value /= 1024
    raise AssertionError


def duration(ms: float) -> str:
    """The two largest units: ``2 d 3 h``, ``5 min 10 s``, ``45 s``."""
    left = max(0, round(ms / 1000))
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def instant(ms: int) -> str:
    """``2026-11-21 03:59:16 UTC``."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
