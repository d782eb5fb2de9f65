"""A service that was always there and is gone, or that dies and comes back again and again.

A sample lists only the processes that use most and the newest ones. So only names that are always in that list are
known, and one that is missing is called gone only where, with the memory it had, it would have to be listed. Whether it
crashed or was stopped a sample does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import LONGEST_CADENCE_MS
from services.detector.findings.port import BECAME_NORMAL, Sighting, Watching
from services.detector.findings.smooth import Smooth
from services.detector.findings.words import size, span
from shared.schemas.sample import HostSample, Process

HOUR_MS = 3_600_000
CAME_BACK = "came back"


@dataclass(frozen=True)
class Thresholds:
    """Usual is a name that is listed ``present`` of the time, and since ``known_ms``, or since ``young_ms`` if it is
    ``old_ms`` old: then it is no job that ends by itself.
    """

    names: int = 24
    every_ms: int = 10_000
    present: float = 0.9
    present_over_ms: int = HOUR_MS
    known_ms: int = 6 * HOUR_MS
    young_ms: int = HOUR_MS
    old_ms: int = 24 * HOUR_MS
    missing_ms: int = 60_000
    given_up_ms: int = HOUR_MS
    starts: int = 4
    loop_ms: int = 900_000
    quiet_ms: int = 600_000


T = Thresholds()


class _Name(msgspec.Struct):
    """A name that has, as far as one can see, one process. ``starts``: when it was seen anew, in the last minutes."""

    first_ms: int
    pid: int = 0
    created_ms: int = 0
    rss: int = 0
    seen_ms: int = 0
    several: bool = False
    usual: bool = False
    present: Smooth = msgspec.field(default_factory=Smooth)
    starts: list[int] = msgspec.field(default_factory=list)
    missing_ms: int = -1
    gone: Sighting | None = None
    loop: Sighting | None = None


class ProcessCrash(Watching):
    """By name, the one seen longest ago is forgotten first."""

    section: ClassVar[str] = "processes"
    names: dict[str, _Name] = msgspec.field(default_factory=dict)
    looked_ms: int = -1
    booted_ms: int = -1

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.system and abs(sample.system.boot_time - self.booted_ms) > 60_000:
            self.booted_ms, self.names, self.held = sample.system.boot_time, {}, ()
            self.ended = "the machine was started anew"
        processes = sample.processes
        if not processes or not processes.top:
            return self.held
        gap = ts_ms - self.looked_ms if self.looked_ms >= 0 else 0
        if self.looked_ms >= 0 and gap < T.every_ms:
            return self.held
        self.looked_ms = ts_ms
        by_name: dict[str, list[Process]] = {}
        for process in processes.top:
            by_name.setdefault(process.name[:64], []).append(process)
        self._remember(ts_ms, by_name)
        for name, known in self.names.items():
            if gap > LONGEST_CADENCE_MS:
                known.missing_ms, known.starts = -1, []
            self._step(ts_ms, sample.host, name, known, by_name.get(name), processes.top)
        self.names = {n: k for n, k in self.names.items() if k.seen_ms or k.gone}
        self.held = tuple(s for known in self.names.values() for s in (known.gone, known.loop) if s)
        return self.held

    def _remember(self, ts_ms: int, there: Mapping[str, Sequence[Process]]) -> None:
        for name in there:
            if name not in self.names:
                if len(self.names) >= T.names:
                    forgettable = [n for n, k in self.names.items() if not k.usual and n not in there]
                    if not forgettable:
                        continue
                    del self.names[min(forgettable, key=lambda n: self.names[n].seen_ms)]
                self.names[name] = _Name(first_ms=ts_ms)

    def _step(
        self, ts_ms: int, host: str, name: str, known: _Name, mine: Sequence[Process] | None, top: Sequence[Process]
    ) -> None:
        known.present.step(ts_ms, float(mine is not None), T.present_over_ms)
        known.starts = [t for t in known.starts if ts_ms - t <= T.loop_ms]
        if mine is None:
            self._missing(ts_ms, host, name, known, top)
        else:
            self._there(ts_ms, known, mine)
        if known.loop:
            if not known.starts or ts_ms - known.starts[-1] > T.quiet_ms:
                known.loop, known.starts, self.ended = None, [], "it stays up" if mine else "it stays down"
            else:
                known.loop = _loop(host, name, known, known.loop.since_ms)
        elif len(known.starts) >= T.starts:
            known.loop = _loop(host, name, known, known.starts[0])

    def _there(self, ts_ms: int, known: _Name, mine: Sequence[Process]) -> None:
        oldest = min(mine, key=lambda p: p.create_time)
        several = len(mine) > 1
        if known.usual and known.pid and not several and not known.several:
            anew = oldest.create_time > known.created_ms and oldest.pid != known.pid
            if anew:
                known.starts.append(ts_ms)
        if known.gone:
            self.ended, known.gone = CAME_BACK, None
        known.missing_ms, known.several, known.seen_ms = -1, several, ts_ms
        known.pid, known.created_ms = oldest.pid, oldest.create_time
        known.rss = max(p.memory_info.rss for p in mine)
        age, seen = ts_ms - oldest.create_time, ts_ms - known.first_ms
        known.usual = known.usual or (
            known.present.value >= T.present
            and age >= T.young_ms
            and (seen >= T.known_ms or (seen >= T.young_ms and age >= T.old_ms))
        )

    def _missing(self, ts_ms: int, host: str, name: str, known: _Name, top: Sequence[Process]) -> None:
        if known.gone:
            if ts_ms - known.missing_ms >= T.given_up_ms:
                known.gone, known.seen_ms, self.ended = None, 0, BECAME_NORMAL
            return
        if known.loop or not known.usual or not _would_be_listed(known.rss, top):
            known.missing_ms = -1
            # What is often missing is not usual any more.
            known.usual = known.usual and known.present.value >= T.present / 2
            return
        if known.missing_ms < 0:
            known.missing_ms = ts_ms
        if ts_ms - known.missing_ms >= T.missing_ms and known.present.value >= T.present / 2:
            known.gone = _gone(ts_ms, host, name, known)


def _would_be_listed(rss: int, top: Sequence[Process]) -> bool:
    """The list is the first n by CPU, by memory and by age, so n is at least a third of it; a process is missing from
    it with right only where n others have more memory.
    """
    larger = sum(p.memory_info.rss > 0.8 * rss for p in top)
    return larger < -(-len(top) // 3)


def _gone(ts_ms: int, host: str, name: str, known: _Name) -> Sighting:
    age = span(known.seen_ms - known.created_ms)
    return Sighting(
        finding="process_crash",
        labels={"process": name},
        severity="warning",
        since_ms=known.missing_ms,
        summary=f"A process is gone on {host}: {name} ({known.pid}) ended after {age} and did not come back; "
        f"it had {size(known.rss)} of memory",
        evidence={"pid": str(known.pid), "ran for": age, "memory": size(known.rss), "note": "crashed or was stopped"},
    )


def _loop(host: str, name: str, known: _Name, since_ms: int) -> Sighting:
    count, took = len(known.starts), span(known.starts[-1] - known.starts[0])
    return Sighting(
        finding="crash_loop",
        labels={"process": name},
        severity="critical",
        since_ms=since_ms,
        summary=f"A process is in a crash loop on {host}: {name} was started anew {count} times in {took}, "
        f"now pid {known.pid}",
        evidence={"starts": f"{count} in {took}", "pid": str(known.pid)},
    )
