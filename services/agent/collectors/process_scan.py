"""Every process, every scan, as cheaply as the kernel lets us.

``/proc/PID/stat`` stays open and is read from its start: that halves the price, and a descriptor belongs to its
process, so that a number the kernel has given to another process shows as an error instead of somebody else's past.
A line that has not changed is not read again.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

import psutil

MOST_DESCRIPTORS = 4096
_LINE = 1024


class Seen:
    """A process over time. ``ticks``, ``start`` and ``grown`` in clock ticks; ``rss`` and ``vms`` in bytes."""

    __slots__ = (
        "details", "details_at", "fd", "grown", "line", "name", "pid", "rss", "scan", "start", "state", "threads",
        "ticks", "vms",
    )  # fmt: skip

    def __init__(self, pid: int, fd: int = -1) -> None:
        self.pid = pid
        self.fd = fd
        self.line = b""
        self.name = b""
        self.state = "?"
        self.ticks = self.grown = self.threads = self.start = self.rss = self.vms = 0
        self.scan = 0
        self.details: object = None
        self.details_at = 0.0


class Scan(Protocol):
    ticks_per_second: float

    def processes(self) -> Collection[Seen]:
        """All processes now; ``grown`` is what each has used of a core since the previous scan, 0 at the first."""
        ...


def parse_stat(line: bytes, into: Seen) -> None:
    """``/proc/PID/stat``; a name may hold anything, parentheses too. Raises ``ValueError`` or ``IndexError``."""
    close = line.rindex(b")")
    fields = line[close + 2 :].split(b" ", 22)
    into.name = line[line.index(b"(") + 1 : close]
    into.state = fields[0].decode()
    into.ticks = int(fields[11]) + int(fields[12])
    into.threads = int(fields[17])
    into.start = int(fields[19])
    into.vms = int(fields[20])
    into.rss = int(fields[21]) * _PAGE


_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def descriptor_budget() -> int:
    """How many files may stay open: half of what this process is allowed, for others in it need some too."""
    try:
        import resource
    except ImportError:
        return 0
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else max(0, min(MOST_DESCRIPTORS, soft // 2))


class LinuxScan:
    def __init__(self, proc: str = "/proc", *, budget: int | None = None) -> None:
        self.ticks_per_second = float(os.sysconf("SC_CLK_TCK"))
        self._proc = proc
        self._budget = descriptor_budget() if budget is None else budget
        self._kept = 0
        self._seen: dict[str, Seen] = {}
        self._scans = 0

    def processes(self) -> Collection[Seen]:
        self._scans += 1
        seen, scan, pread = self._seen, self._scans, os.pread
        for pid in os.listdir(self._proc):  # noqa: PTH208 - half the price of iterdir
            if not pid.isdigit():
                continue
            known = seen.get(pid)
            if known is not None and known.fd >= 0:
                try:
                    line = pread(known.fd, _LINE, 0)
                except OSError:  # it ended; the number may already be another's
                    self._forget(pid)
                else:
                    known.scan = scan
                    if line == known.line:
                        known.grown = 0
                    else:
                        self._read(known, line)
                    continue
            self._open(pid, scan)
        for pid in [pid for pid, p in seen.items() if p.scan != scan]:
            self._forget(pid)
        return seen.values()

    def close(self) -> None:
        for pid in list(self._seen):
            self._forget(pid)

    def _read(self, process: Seen, line: bytes) -> None:
        before, first = process.ticks, not process.line
        with suppress(ValueError, IndexError):  # a line of a kernel that we cannot read: the process is counted only
            parse_stat(line, process)
        process.line = line
        if first:  # what was there before the first scan used its time before it, too
            before = process.ticks if self._scans == 1 else 0
        process.grown = max(0, process.ticks - before)

    def _open(self, pid: str, scan: int) -> None:
        try:
            fd = os.open(f"{self._proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # it ended between the listing and now, or is not ours to see
        try:
            line = os.pread(fd, _LINE, 0)
        except OSError:
            os.close(fd)
            return
        process = self._seen.get(pid)
        if process is not None and self._start_of(line) != process.start:
            process = None  # the number was given to another process
        if process is None:
            process = self._seen[pid] = Seen(int(pid))
        if self._kept < self._budget:
            process.fd = fd
            self._kept += 1
        else:
            os.close(fd)
        process.scan = scan
        self._read(process, line)

    @staticmethod
    def _start_of(line: bytes) -> int:
        probe = Seen(0)
        with suppress(ValueError, IndexError):
            parse_stat(line, probe)
        return probe.start

    def _forget(self, pid: str) -> None:
        process = self._seen.pop(pid)
        if process.fd >= 0:
            os.close(process.fd)
            self._kept -= 1


_LETTERS = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_IDLE: "I",
}


class PortableScan:
    """The same through psutil, where there is no ``/proc``."""

    ticks_per_second = 100.0

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], Seen] = {}
        self._scans = 0

    def processes(self) -> Collection[Seen]:
        self._scans += 1
        found: dict[tuple[int, int], Seen] = {}
        wanted = ["name", "status", "cpu_times", "memory_info", "num_threads", "create_time"]
        for process in psutil.process_iter(wanted, ad_value=None):
            key, seen = self._seen_of(process.pid, process.info)
            found[key] = seen
        self._seen = found
        return found.values()

    def _seen_of(self, pid: int, info: dict[str, object]) -> tuple[tuple[int, int], Seen]:
        times, memory, created = info["cpu_times"], info["memory_info"], info["create_time"]
        start = int(created * 100) if isinstance(created, float) else 0
        ticks = int((times.user + times.system) * 100) if times else 0  # type: ignore[attr-defined]
        known = self._seen.get((pid, start))
        seen = known or Seen(pid)
        before = known.ticks if known else ticks if self._scans == 1 else 0
        seen.name = str(info["name"] or "").encode("utf-8", "replace")
        seen.state = _LETTERS.get(str(info["status"]), "?")
        seen.ticks, seen.grown, seen.start = ticks, max(0, ticks - before), start
        threads = info["num_threads"]
        seen.threads = threads if isinstance(threads, int) else 1
        seen.rss, seen.vms = (memory.rss, memory.vms) if memory else (0, 0)  # type: ignore[attr-defined]
        return (pid, start), seen
