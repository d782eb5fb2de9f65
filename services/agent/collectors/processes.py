"""Section ``processes``: how many there are in which state, and the details of those that use most and are newest."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable
from heapq import nlargest
from operator import attrgetter
from typing import Any, Protocol

import psutil

from services.agent.collectors.base import Rest, finished
from services.agent.collectors.process_details import Details, LinuxDetails, PortableDetails
from services.agent.collectors.process_scan import LinuxScan, PortableScan, Scan, Seen
from services.agent.paths import HostPaths
from services.agent.redact import Redactor

# The kernel's letters: psutil's names, and the schema's counts.
STATUS = {
    "R": "running", "S": "sleeping", "D": "disk-sleep", "T": "stopped", "t": "tracing-stop", "Z": "zombie",
    "X": "dead", "x": "dead", "K": "wake-kill", "W": "waking", "I": "idle", "P": "parked",
}  # fmt: skip
COUNTED = {
    "R": "running",
    "S": "sleeping",
    "D": "disk_sleep",
    "T": "stopped",
    "t": "stopped",
    "Z": "zombie",
    "I": "idle",
}
FACTS_EVERY = 60.0  # seconds between looks at what hardly changes: memory size, boot time


class Knows(Protocol):
    def fresh(self, process: Seen, now: float) -> Details | None:
        """Details that need no reading."""
        ...

    def of(self, process: Seen, now: float, age: float) -> Details: ...


def count_states(states: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for letter, number in Counter(states).items():
        name = COUNTED.get(letter, "other")
        counts[name] = counts.get(name, 0) + number
    return counts


def noteworthy(processes: Collection[Seen], top: int) -> list[Seen]:
    """The ``top`` by CPU, by memory and by how new they are, once each, so that any of these orders is true as far as
    it goes; who used no CPU counts by memory and by age only.
    """
    by_cpu = largest(top, [p for p in processes if p.used], "used")
    by_memory = largest(top, processes, "rss")
    newest = largest(top, processes, "start")
    chosen = {id(p): p for p in (*by_cpu, *by_memory, *newest)}
    return sorted(chosen.values(), key=attrgetter("used", "rss"), reverse=True)


def largest(top: int, processes: Collection[Seen], by: str) -> list[Seen]:
    if len(processes) > 10 * top:  # below that, sorting them all is quicker
        return nlargest(top, processes, key=attrgetter(by))
    return sorted(processes, key=attrgetter(by), reverse=True)[:top]


class ProcessesCollector:
    section = "processes"

    def __init__(self, scan: Scan, details: Knows, *, top: int = 20) -> None:
        self._scan = scan
        self._details = details
        self._top = top
        self._facts_due = 0.0
        self._boot_time = 0.0
        self._memory = 0

    def collect(self, now: float) -> dict[str, Any]:
        return finished(self.begin(now))  # type: ignore[no-any-return]

    def begin(self, now: float) -> dict[str, Any] | Rest:
        """A command line lies in its process's own memory: reading it waits for whoever holds that."""
        if now >= self._facts_due:
            self._facts_due = now + FACTS_EVERY
            self._boot_time = psutil.boot_time() if isinstance(self._scan, LinuxScan) else 0.0
            self._memory = psutil.virtual_memory().total
        processes = self._scan.processes(now)
        counts = {
            "count": len(processes),
            **count_states([p.state for p in processes]),
            "threads": sum([p.threads for p in processes]),
        }
        top = noteworthy(processes, self._top)
        details: list[Details] = []
        for process in top:
            known = self._details.fresh(process, now)
            if known is None:
                return Rest(lambda: self._section(counts, top, [self._ask(p, now) for p in top]))
            details.append(known)
        return self._section(counts, top, details)

    def _section(self, counts: dict[str, int], top: list[Seen], details: list[Details]) -> dict[str, Any]:
        return {**counts, "top": [*map(self._process, top, details)]}

    def _ask(self, process: Seen, now: float) -> Details:
        # Its age by the clock that `now` is of: both count from boot, give or take a suspend.
        return self._details.of(process, now, now - process.start / self._scan.ticks_per_second)

    def _process(self, process: Seen, details: Details) -> dict[str, Any]:
        if process.told is not None and not process.used and process.line:
            line, known, told = process.told
            if line is process.line and known is details and not told["cpu_percent"]:
                return told
        told = {
            "pid": process.pid,
            "name": details.name,
            "status": STATUS.get(process.state, "?"),
            "cpu_percent": round(100 * process.used, 1),
            "memory_percent": min(100.0, round(100 * process.rss / self._memory, 2)) if self._memory else 0.0,
            "memory_info": {"rss": process.rss, "vms": process.vms},
            "create_time": round((self._boot_time + process.start / self._scan.ticks_per_second) * 1000),
            "cmdline": details.cmdline,
            "username": details.username,
        }
        process.told = (process.line, details, told)
        return told


def processes_collector(paths: HostPaths, redactor: Redactor, top: int) -> ProcessesCollector:
    """The cheap way on Linux, psutil elsewhere."""
    if sys.platform == "linux":
        return ProcessesCollector(
            LinuxScan(paths.proc, own_numbers=not paths.contained), LinuxDetails(paths, redactor), top=top
        )
    return ProcessesCollector(PortableScan(), PortableDetails(redactor), top=top)
