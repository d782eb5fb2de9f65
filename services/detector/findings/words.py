"""Numbers as people say them."""

from __future__ import annotations


def number(value: float) -> str:
    """Three digits: ``0.123``, ``71``, ``1200``."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def size(value: float) -> str:
    """``1.5 GB``"""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def span(ms: float) -> str:
    """``40 s``, ``12 min``, ``24 h``, ``6 days``"""
    seconds = ms / 1000
    for least, unit, name in ((172_800, 86_400, "days"), (5400, 3600, "h"), (100, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def between(low_ms: float, high_ms: float) -> str:
    """``18 to 40 h``; both units where they differ."""
    low, high = span(low_ms), span(high_ms)
    if low == high:
        return low
    return f"{low.split()[0]} to {high}" if low.split()[1] == high.split()[1] else f"{low} to {high}"
