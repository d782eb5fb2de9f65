"""Section ``memory``: as ``psutil.virtual_memory`` (and ``free``) compute it."""

from __future__ import annotations

from services.agent.procfile import KeptFile
from services.agent.rates import percent

WANTED = (
    b"MemTotal", b"MemFree", b"MemAvailable", b"Buffers", b"Cached", b"SwapTotal", b"SwapFree", b"Shmem", b"Slab",
    b"SReclaimable",
)  # fmt: skip


def parse_meminfo(data: bytes) -> dict[bytes, int]:
    """``/proc/meminfo`` in bytes by name, what is ``WANTED``; lines that are no ``Name: number …`` are passed over."""
    data = b"\n" + data
    sizes: dict[bytes, int] = {}
    for name in WANTED:  # finding ten lines is cheaper than taking fifty apart
        start = data.find(b"\n" + name + b":")
        if start < 0:
            continue
        start += len(name) + 2
        fields = data[start : data.find(b"\n", start)].split(None, 1)
        if fields and fields[0].isdigit():
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
        self._file = KeptFile(f"{proc}/meminfo", whole=True)

    def collect(self, now: float) -> dict[str, int | float]:
        return memory(parse_meminfo(self._file.read()))
