"""All watchers of one host and its open episodes; one struct that can be written down and read back."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import msgspec

from services.detector.findings.cpu_overload import CpuOverload
from services.detector.findings.disk_filling import DiskFilling
from services.detector.findings.disk_slow import DiskSlow
from services.detector.findings.episodes import About, Episodes
from services.detector.findings.flapping import Flapping
from services.detector.findings.group import Groups, Member, group_of
from services.detector.findings.hold import Hold
from services.detector.findings.inode_exhaustion import InodeExhaustion
from services.detector.findings.load_spike import LoadSpike
from services.detector.findings.memory_leak import MemoryLeak
from services.detector.findings.network_errors import NetworkErrors
from services.detector.findings.network_traffic import NetworkTraffic
from services.detector.findings.port import RECOVERED, Sighting, Watcher
from services.detector.findings.pressure_storm import PressureStorm
from services.detector.findings.process_crash import ProcessCrash
from services.detector.findings.swap_storm import SwapStorm
from services.detector.findings.temperature import TooHot
from shared.schemas.anomaly import Anomaly
from shared.schemas.sample import HostSample

SILENT_MS = 900_000
"""After that nothing is known of a host, or of a section, that says nothing."""
NO_DATA = "no data"


class Watchers(msgspec.Struct):
    cpu_overload: CpuOverload = msgspec.field(default_factory=CpuOverload)
    load_spike: LoadSpike = msgspec.field(default_factory=LoadSpike)
    memory_leak: MemoryLeak = msgspec.field(default_factory=MemoryLeak)
    swap_storm: SwapStorm = msgspec.field(default_factory=SwapStorm)
    pressure_storm: PressureStorm = msgspec.field(default_factory=PressureStorm)
    disk_filling: DiskFilling = msgspec.field(default_factory=DiskFilling)
    inode_exhaustion: InodeExhaustion = msgspec.field(default_factory=InodeExhaustion)
    disk_slow: DiskSlow = msgspec.field(default_factory=DiskSlow)
    network_traffic: NetworkTraffic = msgspec.field(default_factory=NetworkTraffic)
    network_errors: NetworkErrors = msgspec.field(default_factory=NetworkErrors)
    process_crash: ProcessCrash = msgspec.field(default_factory=ProcessCrash)
    temperature: TooHot = msgspec.field(default_factory=TooHot)
    flapping: Flapping = msgspec.field(default_factory=Flapping)

    def each(self) -> Sequence[Watcher]:
        watchers: tuple[Watcher, ...] = _each(self)
        return watchers


_each = attrgetter(*Watchers.__struct_fields__)


class Host(msgspec.Struct):
    """``heard_ms``: the newest instant of any host when this one was last heard of. ``resumed_ms``: since when it has
    not been silent.
    """

    about: About
    last_ms: int = -1
    heard_ms: int = -1
    resumed_ms: int = -1
    watchers: Watchers = msgspec.field(default_factory=Watchers)
    member: Member = msgspec.field(default_factory=Member)
    episodes: Episodes = msgspec.field(default_factory=Episodes)

    def observe(self, sample: HostSample, groups: Groups) -> list[Anomaly]:
        """Nothing for an event that is not newer than the last."""
        ts_ms = sample.ts
        if ts_ms <= self.last_ms:
            return []
        out = self.silent(ts_ms, ts_ms) if self.last_ms >= 0 and ts_ms - self.last_ms > SILENT_MS else []
        self.last_ms = ts_ms
        self.about.name = sample.host
        if sample.labels != self.about.labels:
            self.about.labels = dict(sample.labels)
            groups.join(self.about.host_id, self.member, group_of(sample.labels))
        # Why a thing that was held is over is asked of who held it.
        held: list[Sighting] = []
        holders: dict[str, str] | None = {} if self.episodes.open else None
        for watcher in self.watchers.each():
            before = watcher.held
            now = watcher.observe(ts_ms, sample)
            if now:
                if _section_silent(watcher, ts_ms, sample):
                    _forget(watcher)
                    watcher.ended = NO_DATA
                else:
                    held.extend(now)
            if before and holders is not None:
                for sighting in before:
                    holders[sighting.finding] = watcher.ended
        held.extend(self._against_group(ts_ms, sample, groups, holders))
        if held or self.episodes.open:
            ended = holders or {}
            out += self.episodes.step(
                self.about, ts_ms, held, lambda finding: ended.get(finding, RECOVERED), self.resumed_ms
            )
        return out

    def silent(self, ts_ms: int, resumed_ms: int) -> list[Anomaly]:
        """Close what is open and forget what was going on; what is usual for this host is kept."""
        out = self.episodes.close(self.about, ts_ms, self.last_ms, NO_DATA)
        for watcher in self.watchers.each():
            _forget(watcher)
        _forget(self.member)
        self.resumed_ms = resumed_ms
        return out

    def _against_group(
        self, ts_ms: int, sample: HostSample, groups: Groups, holders: dict[str, str] | None
    ) -> tuple[Sighting, ...]:
        member = self.member
        if member.add(ts_ms, sample):
            before = member.held
            member.compare(ts_ms, sample.host, groups.medians(member.group, ts_ms))
            if before and holders is not None:
                holders["host_outlier"] = member.ended
        return member.held


def _section_silent(watcher: Watcher, ts_ms: int, sample: HostSample) -> bool:
    if getattr(sample, watcher.section) is not None or watcher.heard_ms < 0:
        watcher.heard_ms = ts_ms
    return ts_ms - watcher.heard_ms > SILENT_MS


def _forget(part: object) -> None:
    """Every hold in it begins anew, and nothing is held."""
    if isinstance(part, Hold):
        part.is_open, part.since_ms, part.clear_ms, part.last_ms, part.step_ms = False, -1, -1, -1, 0
    elif isinstance(part, msgspec.Struct) and not isinstance(part, Sighting):
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if name == "held":
                setattr(part, name, ())
            elif isinstance(value, Sighting):
                setattr(part, name, None)
            else:
                _forget(value)
    elif isinstance(part, dict):
        for value in part.values():
            _forget(value)
    elif isinstance(part, list | tuple):
        for value in part:
            _forget(value)
