"""Every process, every scan, as cheaply as the kernel lets us.

- ``/proc/PID/stat`` stays open and is read from its start: that halves the price, and a descriptor belongs to its
  process, so that a number the kernel has given to another process shows as an error, not as somebody else's past.
- A line that has not changed is not parsed again.
- A process that has slept through some scans is read every few seconds until it moves.
- ``/proc`` is listed when something was forked since the last time.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Protocol

import psutil

from services.agent.procfile import KeptFile

MOST_DESCRIPTORS = 4096
QUIET_AFTER = 8  # scans without a change
QUIET_EVERY = 4.0  # seconds at most between readings of a quiet process
LIST_EVERY = 10.0  # seconds at most between listings
_LINE = 1024
_PF_KTHREAD = 0x00200000


class Seen:
    """A process over time: ``ticks``, ``start`` in clock ticks, ``rss`` and ``vms`` in bytes.

    ``used`` is the share of a core since the reading before, 0 at the first.
    """

    __slots__ = (
        "details", "details_until", "fd", "kernel", "line", "name", "pid", "quiet", "read_at", "rss", "scan", "start",
        "state", "threads", "ticks", "told", "used", "vms",
    )  # fmt: skip

    def __init__(self, pid: int, fd: int = -1) -> None:
        self.pid = pid
        self.fd = fd
        self.line = b""
        self.name = b""
        self.state = "?"
        self.ticks = self.threads = self.start = self.rss = self.vms = 0
        self.used = 0.0
        self.kernel = False
        """A thread of the kernel's own."""
        self.quiet = 0
        """Readings without a change."""
        self.read_at = 0.0
        self.scan = 0
        self.details: object = None
        self.details_until = 0.0
        self.told: tuple[bytes, object, dict[str, Any]] | None = None
        """As it went on the wire, for this line and these details."""


class Scan(Protocol):
    ticks_per_second: float

    def processes(self, now: float) -> Collection[Seen]:
        """All processes; ``now`` in monotonic seconds."""
        ...


def parse_stat(line: bytes, into: Seen) -> None:
    """``/proc/PID/stat``; a name may hold anything, parentheses too. Raises ``ValueError`` or ``IndexError``."""
    close = line.rindex(b")")
    fields = line[close + 2 :].split(b" ", 22)
    into.name = line[line.index(b"(") + 1 : close]
    into.state = fields[0].decode()
    into.kernel = bool(int(fields[6]) & _PF_KTHREAD)
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


def parse_last_pid(loadavg: bytes) -> int:
    """``/proc/loadavg``: the number given out last. Raises ``ValueError``."""
    return int(loadavg.rsplit(None, 1)[-1])


class LinuxScan:
    """``own_numbers``: whether ``proc`` numbers processes as this process is numbered; another's forks go unseen."""

    def __init__(self, proc: str = "/proc", *, budget: int | None = None, own_numbers: bool = True) -> None:
        self.ticks_per_second = float(os.sysconf("SC_CLK_TCK"))
        self._proc = proc
        self._budget = descriptor_budget() if budget is None else budget
        self._kept = 0
        self._seen: dict[str, Seen] = {}
        self._scans = 0
        self._before = 0.0
        self._loadavg = KeptFile(f"{proc}/loadavg", whole=True) if own_numbers else None
        self._last_pid = -1
        self._list_due = 0.0

    def processes(self, now: float) -> Collection[Seen]:
        self._scans += 1
        new = self._listed(now) if self._must_list(now) else ()
        self._read_known(now)
        for pid in new:
            self._open(pid, now)
        self._before = now
        return self._seen.values()

    def _must_list(self, now: float) -> bool:
        try:
            last_pid = parse_last_pid(self._loadavg.read()) if self._loadavg else -1
        except (OSError, ValueError):
            last_pid = -1
        if last_pid >= 0 and last_pid == self._last_pid and now < self._list_due:
            return False
        self._last_pid, self._list_due = last_pid, now + LIST_EVERY
        return True

    def _listed(self, now: float) -> list[str]:
        """Who is new; who is gone is forgotten."""
        there = {pid for pid in os.listdir(self._proc) if pid.isdigit()}  # noqa: PTH208 - half the price of iterdir
        for pid in self._seen.keys() - there:
            self._forget(pid)
        return list(there - self._seen.keys())

    def _read_known(self, now: float) -> None:
        pread, scan = os.pread, self._scans
        # Quiet ones are read in turn, so that each scan has its share of them.
        turns = max(1, int(QUIET_EVERY / max(0.1, now - self._before)))
        gone = []
        for pid, process in self._seen.items():
            if process.quiet >= QUIET_AFTER and (process.pid + scan) % turns:
                process.used = 0.0
                continue
            if process.fd < 0:
                if not self._reopened(pid, process, now):
                    gone.append(pid)
                continue
            try:
                line = pread(process.fd, _LINE, 0)
            except OSError:  # it ended; the number may already be another's
                gone.append(pid)
                continue
            if line == process.line:
                process.used = 0.0
                process.quiet += 1
                process.read_at = now
            else:
                self._update(process, line, now)
        for pid in gone:
            self._forget(pid)
            self._open(pid, now)

    def _update(self, process: Seen, line: bytes, now: float) -> None:
        ticks, first = process.ticks, not process.line
        # Who was there before the first scan used its time before it; who came later, since the scan before.
        since = process.read_at if not first else self._before if self._scans > 1 else now
        with suppress(ValueError, IndexError):  # a line of a kernel that we cannot read: the process is counted only
            parse_stat(line, process)
        process.line = line
        process.read_at = now
        process.quiet = 0
        grown = max(0, process.ticks - (0 if first else ticks))
        process.used = grown / self.ticks_per_second / (now - since) if now > since else 0.0

    def _reopened(self, pid: str, process: Seen, now: float) -> bool:
        """Reads a process beyond the budget of descriptors; False when it, or its number, is no longer its own."""
        line = self._line_of(pid)
        if not line:
            return False
        probe = Seen(process.pid)
        with suppress(ValueError, IndexError):
            parse_stat(line, probe)
        if probe.start != process.start:
            return False
        self._update(process, line, now)
        return True

    def _line_of(self, pid: str) -> bytes:
        try:
            with open(f"{self._proc}/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                return file.read(_LINE) or b""
        except OSError:
            return b""

    def _open(self, pid: str, now: float) -> None:
        try:
            fd = os.open(f"{self._proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # it ended between the listing and now, or is not ours to see
        try:
            line = os.pread(fd, _LINE, 0)
        except OSError:
            os.close(fd)
            return
        process = self._seen[pid] = Seen(int(pid))
        if self._kept < self._budget:
            process.fd = fd
            self._kept += 1
        else:
            os.close(fd)
        self._update(process, line, now)

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
        self._before: float | None = None

    def processes(self, now: float) -> Collection[Seen]:
        found: dict[tuple[int, int], Seen] = {}
        wanted = ["name", "status", "cpu_times", "memory_info", "num_threads", "create_time"]
        for process in psutil.process_iter(wanted, ad_value=None):
            seen = self._seen_of(process.pid, process.info, now)
            found[seen.pid, seen.start] = seen
        self._seen, self._before = found, now
        return found.values()

    def _seen_of(self, pid: int, info: dict[str, Any], now: float) -> Seen:
        times, memory = info["cpu_times"], info["memory_info"]
        start = int((info["create_time"] or 0.0) * self.ticks_per_second)
        ticks = int((times.user + times.system) * self.ticks_per_second) if times else 0
        known = self._seen.get((pid, start))
        seen = known or Seen(pid)
        grown = max(0, ticks - (known.ticks if known else 0))
        seconds = now - self._before if self._before is not None else 0.0
        seen.used = grown / self.ticks_per_second / seconds if seconds > 0 else 0.0
        seen.name = str(info["name"] or "").encode("utf-8", "replace")
        seen.state = _LETTERS.get(info["status"] or "", "?")
        seen.ticks, seen.start = ticks, start
        seen.threads = info["num_threads"] or 1
        seen.rss, seen.vms = (memory.rss, memory.vms) if memory else (0, 0)
        return seen
