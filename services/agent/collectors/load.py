"""Section ``load``: running or waiting tasks, averaged over 1, 5 and 15 minutes."""

from __future__ import annotations

from services.agent.procfile import KeptFile


def parse_loadavg(data: bytes) -> dict[str, float]:
    """``/proc/loadavg``. Raises ``ValueError``."""
    one, five, fifteen = (float(field) for field in data.split(None, 3)[:3])
    return {"load1": one, "load5": five, "load15": fifteen}


class LoadCollector:
    section = "load"

    def __init__(self, proc: str = "/proc") -> None:
        self._file = KeptFile(f"{proc}/loadavg", whole=True)

    def collect(self, now: float) -> dict[str, float]:
        return parse_loadavg(self._file.read())
