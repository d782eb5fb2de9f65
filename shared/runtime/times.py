"""Instants and durations as people write them. Everything inside is epoch milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

LATEST_MS = 4_102_444_800_000  # 2100-01-01: beyond it ClickHouse's DateTime wraps round
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# A `+` that was not percent-encoded arrives as a space.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+\- ]\d\d:\d\d)", re.ASCII)
_NOW = re.compile(r"now(?:-(\d{1,9})([smhd]))?", re.ASCII)
_EPOCH_MS = re.compile(r"\d{1,15}", re.ASCII)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", re.ASCII)


def instant(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time. Raises ``ValueError`` on anything else, and before 1970 or after 2100."""
    match = _RFC3339.fullmatch(text)
    if not match:
        raise ValueError(text)
    day, time, fraction, zone = match.groups()
    zone = "+00:00" if zone in "Zz" else zone.replace(" ", "+")
    whole = datetime.fromisoformat(f"{day}T{time}{zone}")
    return _bounded(int(whole.timestamp()) * 1000 + int(float(fraction or 0) * 1000))


def moment(text: str, now_ms: int) -> int:
    """The same, and also epoch milliseconds, ``now`` and ``now-6h``."""
    if match := _NOW.fullmatch(text):
        amount, unit = match.groups()
        return _bounded(now_ms - (int(amount) * _UNITS[unit] * 1000 if amount else 0))
    if _EPOCH_MS.fullmatch(text):
        return _bounded(int(text))
    return instant(text)


def duration(text: str) -> int:
    """Whole seconds of ``30s``, ``1.5h``. Raises ``ValueError`` on anything else and below one second."""
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not match or seconds < 1 or seconds != int(seconds) or seconds > 366 * 86_400:
        raise ValueError(text)
    return int(seconds)


def in_words(seconds: int) -> str:
    """The shortest of ``90s``, ``5m``, ``2h``, ``1d`` that is exact."""
    for unit in ("d", "h", "m"):
        if seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def iso(ms: int) -> str:
    """``2026-01-31T12:00:00Z``, with milliseconds where there are any."""
    when = datetime.fromtimestamp(ms / 1000, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S") + (f".{ms % 1000:03d}Z" if ms % 1000 else "Z")


def clock_face(ms: int) -> str:
    """``2026-01-31 12:00:00``, UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def uptime(since_ms: int, until_ms: int) -> str:
    """``2 days, 14:30:00``; without days below one."""
    seconds = max(0, until_ms - since_ms) // 1000
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} day{'s' if days > 1 else ''}, {clock}" if days else clock


def _bounded(ms: int) -> int:
    if not 0 <= ms <= LATEST_MS:
        raise ValueError(ms)
    return ms
