"""Section ``pressure``: stall information (PSI), where the kernel keeps it (4.20, not switched off)."""

from __future__ import annotations

from services.agent.procfile import KeptFile

RESOURCES = ("cpu", "memory", "io")
UPDATED_EVERY = 1.9  # seconds: the kernel computes its averages every two


def parse_pressure(resource: str, data: bytes) -> dict[str, float]:
    """``/proc/pressure/<resource>``: the averages the schema knows. ``full`` of the cpu means nothing for a host."""
    found: dict[str, float] = {}
    for line in data.decode("ascii", "replace").splitlines():
        who, *fields = line.split()
        if who not in ("some", "full") or (resource, who) == ("cpu", "full"):
            continue
        for field in fields:
            name, _, value = field.partition("=")
            if name in ("avg10", "avg60"):
                found[f"{resource}_{who}_{name}"] = min(100.0, max(0.0, float(value)))
    return found


class PressureCollector:
    section = "pressure"

    def __init__(self, proc: str = "/proc") -> None:
        self._files = {resource: KeptFile(f"{proc}/pressure/{resource}", whole=True) for resource in RESOURCES}
        self._found: dict[str, float] = {}
        self._due = 0.0

    def collect(self, now: float) -> dict[str, float] | None:
        if now >= self._due:
            self._due = now + UPDATED_EVERY
            self._found = self._read()
        return self._found or None

    def _read(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for resource, file in list(self._files.items()):
            try:
                found |= parse_pressure(resource, file.read())
            except OSError:
                del self._files[resource]  # no such kernel; asking every second would not change it
        return found
