"""Section ``memory``: as ``psutil.virtual_memory`` (and ``free``) compute it."""

from __future__ import annotations

from services.agent.procfile import KeptFile
from services.agent.rates import percent


def parse_meminfo(data: bytes) -> dict[bytes, int]:
    """``/proc/meminfo`` in bytes, by name; lines that are not ``Name: number …`` are passed over."""
    sizes: dict[bytes, int] = {}
    for line in data.split(b"\n"):
        name, colon, rest = line.partition(b":")
        if colon and (fields := rest.split(None, 1)) and fields[0].isdigit():
            sizes[name] = int(fields[0]) * 1024
    return sizes


def memory(sizes: dict[bytes, int]) -> dict[str, int | float]:
    """Raises ``KeyError`` without ``MemTotal`` or ``MemFree``."""
    total, free = sizes[b"MemTotal"], sizes[b"MemFree"]
    reclaimable = sizes.get(b"SReclaimable", 0)
    cached = sizes.get(b"Cached", 0) + reclaimable
    # Kernels before 3.14 do not estimate what is available.
    available = sizes.get(b"MemAvailable") or free + cached + sizes.get(b"Buffers", 0)
    if available > total:  # some containers report the host's value
        available = free
    return {
        "total": total,
        "available": available,
        "used": total - available,
        "free": free,
        "percent": percent(total - available, total),
        "buffers": sizes.get(b"Buffers", 0),
        "cached": cached,
        "shared": sizes.get(b"Shmem", 0),
        "slab": sizes.get(b"Slab", 0),
    }


class MemoryCollector:
    section = "memory"

    def __init__(self, proc: str = "/proc") -> None:
        self._file = KeptFile(f"{proc}/meminfo")

    def collect(self, now: float) -> dict[str, int | float]:
        return memory(parse_meminfo(self._file.read()))
