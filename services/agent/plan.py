"""What is collected, how often, and what must not keep the others waiting."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import psutil

from services.agent.collectors.base import Collector
from services.agent.collectors.cpu import CpuCollector
from services.agent.collectors.disk_io import DiskIoCollector
from services.agent.collectors.disks import DisksCollector, parse_mounts
from services.agent.collectors.gpus import GpusCollector
from services.agent.collectors.load import LoadCollector
from services.agent.collectors.memory import MemoryCollector
from services.agent.collectors.network import NetworkCollector
from services.agent.collectors.pressure import PressureCollector
from services.agent.collectors.processes import processes_collector
from services.agent.collectors.swap import SwapCollector
from services.agent.collectors.system import SystemCollector
from services.agent.collectors.temperatures import TemperaturesCollector
from services.agent.lanes import Probe
from services.agent.paths import HostPaths
from services.agent.procfile import read_bytes
from services.agent.redact import Redactor
from services.agent.schedule import slots
from shared.runtime.settings import AgentSettings


def collectors(settings: AgentSettings, paths: HostPaths) -> Iterable[Collector]:
    """One for each section; Linux has the cheaper ones, psutil serves everywhere else."""
    redactor = Redactor(settings.redact)
    linux = sys.platform == "linux"
    if linux:
        psutil.PROCFS_PATH = paths.proc
        yield from (
            CpuCollector(paths.proc),
            LoadCollector(paths.proc),
            MemoryCollector(paths.proc),
            SwapCollector(paths.proc),
            DiskIoCollector(paths.proc, paths.sys),
            NetworkCollector(paths),
            PressureCollector(paths.proc),
            DisksCollector(paths),
            SystemCollector(paths),
            TemperaturesCollector(paths.sys),
        )
    else:
        from services.agent.collectors import portable

        yield from portable.collectors()
    yield processes_collector(paths, redactor, settings.top_processes)
    yield GpusCollector()


INSTANT = {
    "cpu": "stat",
    "load": "loadavg",
    "memory": "meminfo",
    "swap": "meminfo",
    "disk_io": "diskstats",
    "network": "self",
    "pressure": "pressure",
    "processes": "loadavg",
}
"""Sections that need only files which the kernel makes up while they are read; the name in ``/proc`` of one."""


def instant(mounts: bytes, proc: str) -> frozenset[str]:
    """Sections that wait for nobody: of ``INSTANT``, where ``proc`` is the kernel's and nothing is laid over its file.

    In containers a program's files may stand in for the kernel's (lxcfs does that), and a program may hang.
    """
    kinds = {mount.mountpoint: mount.fstype for mount in parse_mounts(mounts)}
    if kinds.get(proc) != "proc":
        return frozenset()
    return frozenset(section for section, name in INSTANT.items() if f"{proc}/{name}" not in kinds)


def instant_here(paths: HostPaths) -> frozenset[str]:
    return instant(read_bytes("/proc/self/mounts"), paths.proc)


def planned(
    settings: AgentSettings, collectors: Iterable[Collector], instant: frozenset[str] = frozenset()
) -> list[Probe]:
    """Each with its interval. What may wait for a device or another machine runs in the background."""
    slow = {
        "disks": settings.disks_interval,
        "gpus": settings.gpu_interval,
        "system": settings.system_interval,
        "temperatures": settings.temperatures_interval,
    }
    intervals = {**slow, "processes": settings.processes_interval}
    return [
        Probe(
            c,
            slots(intervals.get(c.section, settings.interval), settings.interval),
            background=c.section in slow,
            instant=c.section in instant,
        )
        for c in collectors
    ]
