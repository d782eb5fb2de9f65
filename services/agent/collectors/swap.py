"""Section ``swap``: size and use, and what was swapped in and out."""

from __future__ import annotations

import os

from services.agent.collectors.memory import parse_meminfo
from services.agent.procfile import KeptFile
from services.agent.rates import Counters, percent

NONE_FOR = 10.0  # seconds until a machine without swap is asked again
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def parse_vmstat(data: bytes) -> tuple[int, int]:
    """Pages swapped in and out since boot, of ``/proc/vmstat``; zeros where the kernel does not count them."""
    return _count(data, b"pswpin "), _count(data, b"pswpout ")


def _count(data: bytes, name: bytes) -> int:
    start = 0 if data.startswith(name) else data.find(b"\n" + name) + 1
    if not data.startswith(name, start):
        return 0
    return int(data[start + len(name) :].split(None, 1)[0])


class SwapCollector:
    section = "swap"

    def __init__(self, proc: str = "/proc") -> None:
        self._meminfo = KeptFile(f"{proc}/meminfo", whole=True)
        self._vmstat = KeptFile(f"{proc}/vmstat", whole=True)
        self._counters = Counters()
        self._none: dict[str, int | float] = {}
        self._none_until = 0.0

    def collect(self, now: float) -> dict[str, int | float]:
        if self._none and now < self._none_until:
            return self._none
        section = self._section(now)
        self._none, self._none_until = ({}, 0.0) if section["total"] else (section, now + NONE_FOR)
        return section

    def _section(self, now: float) -> dict[str, int | float]:
        sizes = parse_meminfo(self._meminfo.read())
        total = sizes.get(b"SwapTotal", 0)
        free = min(total, sizes.get(b"SwapFree", 0))
        # Without swap nothing is swapped: the long file need not be read.
        pages = parse_vmstat(self._vmstat.read()) if total else (0, 0)
        came, went = self._counters.rates("swap", [n * _PAGE for n in pages], now)
        return {
            "total": total,
            "used": total - free,
            "free": free,
            "percent": percent(total - free, total),
            "in_bytes_per_s": came,
            "out_bytes_per_s": went,
        }
