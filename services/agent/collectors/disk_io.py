"""Section ``disk_io``: physical devices; partitions, and what is stacked on them, would count bytes twice."""

from __future__ import annotations

import os
import re
from typing import Any

from services.agent.collectors.base import text
from services.agent.procfile import KeptFile, KnownLines
from services.agent.rates import Counters, percent

SECTOR = 512  # /proc/diskstats counts in these whatever the device's own sector is
_STACKED = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd|drbd|bcache|zd)\d")
_PARTITION = re.compile(r"((nvme\d+n\d+|mmcblk\d+|nvme\d+c\d+n\d+)p\d+|(sd|hd|vd|xvd)[a-z]+\d+|mmcblk\d+boot\d)$")

COUNTERS = ("reads", "read_sectors", "read_ms", "writes", "write_sectors", "write_ms", "busy_ms", "queue_ms")


def parse_device(line: bytes) -> tuple[str, tuple[int, ...]] | None:
    """A line of ``/proc/diskstats``: ``COUNTERS``; ``None`` for one with fewer (partitions on 2.6 kernels)."""
    f = line.split(None, 14)
    if len(f) < 14:
        return None
    return text(f[2]), (
        int(f[3]), int(f[5]), int(f[6]), int(f[7]), int(f[9]), int(f[10]), int(f[12]), int(f[13].split()[0])
    )  # fmt: skip


def looks_physical(name: str) -> bool:
    """By the name alone, for where ``/sys`` cannot be read."""
    return not _STACKED.match(name) and not _PARTITION.match(name)


class DiskIoCollector:
    section = "disk_io"

    def __init__(self, proc: str = "/proc", sys: str = "/sys") -> None:
        self._file = KeptFile(f"{proc}/diskstats")
        self._block = f"{sys}/block"
        self._lines = KnownLines(parse_device)
        self._physical: dict[str, bool] = {}
        self._counters = Counters()

    def collect(self, now: float) -> list[dict[str, Any]]:
        return self.section_of(self._lines.parse(self._file.read().split(b"\n")), now)

    def section_of(self, reading: dict[str, tuple[int, ...]], now: float) -> list[dict[str, Any]]:
        wanted = {name: counters for name, counters in reading.items() if self._is_physical(name)}
        self._physical = {name: self._physical[name] for name in reading}
        self._counters.keep_only(wanted)
        return [self._device(name, counters, now) for name, counters in wanted.items()]

    def _is_physical(self, name: str) -> bool:
        if name not in self._physical:
            whole = not os.path.isdir(self._block) or os.path.isdir(f"{self._block}/{name.replace('/', '!')}")  # noqa: PTH112
            self._physical[name] = whole and looks_physical(name)
        return self._physical[name]

    def _device(self, name: str, counters: tuple[int, ...], now: float) -> dict[str, Any]:
        reads, read_sectors, _, writes, write_sectors, *_ = counters
        device: dict[str, Any] = {
            "device": name,
            "read_bytes": read_sectors * SECTOR,
            "write_bytes": write_sectors * SECTOR,
            "reads": reads,
            "writes": writes,
        }
        step = self._counters.since(name, counters, now)
        if step is not None and any(step[1]):  # an idle device's zeros are the schema's defaults
            device |= activity(*step)
        return device


def activity(seconds: float, growth: Any) -> dict[str, float]:
    """Rates and times out of the growth of ``COUNTERS`` in so many seconds."""
    reads, read_sectors, read_ms, writes, write_sectors, write_ms, busy_ms, queue_ms = growth
    return {
        "read_bytes_per_s": round(read_sectors * SECTOR / seconds),
        "write_bytes_per_s": round(write_sectors * SECTOR / seconds),
        "reads_per_s": round(reads / seconds, 1),
        "writes_per_s": round(writes / seconds, 1),
        "utilization_percent": percent(busy_ms, seconds * 1000),
        "await_ms": round((read_ms + write_ms) / (reads + writes), 2) if reads + writes else 0.0,
        "queue_depth": round(queue_ms / (seconds * 1000), 2),
    }
