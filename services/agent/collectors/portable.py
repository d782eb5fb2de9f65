"""The same sections through psutil alone, for systems without ``/proc``."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psutil

from services.agent.collectors.base import Collector, text
from services.agent.collectors.cpu import MODES, frequency, shares
from services.agent.collectors.system import host_name
from services.agent.paths import HostPaths
from services.agent.rates import Counters, percent


class _Section:
    def __init__(self, section: str, collect: Callable[[float], Any]) -> None:
        self.section = section
        self.collect = collect


def collectors() -> Iterator[Collector]:
    for section, collect in (
        ("cpu", _Cpu().collect),
        ("load", _load),
        ("memory", _memory),
        ("swap", _Swap().collect),
        ("disk_io", _DiskIo().collect),
        ("network", _Network().collect),
        ("disks", _disks),
        ("system", _system),
        ("temperatures", _temperatures),
    ):
        yield _Section(section, collect)


class _Cpu:
    def __init__(self) -> None:
        self._before: list[tuple[int, ...]] | None = None
        self._counters = Counters()

    def collect(self, now: float) -> dict[str, Any]:
        times = [psutil.cpu_times(), *psutil.cpu_times(percpu=True)]
        after = [tuple(int(getattr(t, mode, 0.0) * 100) for mode in MODES) for t in times]
        before, self._before = self._before or after, after
        if len(before) != len(after):
            before = after
        (busy, modes), *cores = [shares(b, a) for b, a in zip(before, after, strict=True)]
        stats = psutil.cpu_stats()
        switches, interrupts = self._counters.rates("cpu", (stats.ctx_switches, stats.interrupts), now)
        return {
            "count": psutil.cpu_count() or len(cores) or 1,
            "percent": busy,
            "per_core": [core_busy for core_busy, _ in cores],
            "modes": dict(zip(MODES[:-1], modes, strict=False)),
            "freq": frequency(),
            "context_switches_per_s": switches,
            "interrupts_per_s": interrupts,
        }


def _load(now: float) -> dict[str, float] | None:
    with suppress(AttributeError, OSError):
        return dict(zip(("load1", "load5", "load15"), (round(x, 2) for x in psutil.getloadavg()), strict=True))
    return None


def _memory(now: float) -> dict[str, Any]:
    m = psutil.virtual_memory()
    names = ("total", "available", "used", "free", "percent", "buffers", "cached", "shared", "slab")
    return {name: getattr(m, name) for name in names if hasattr(m, name)}


class _Swap:
    def __init__(self) -> None:
        self._counters = Counters()

    def collect(self, now: float) -> dict[str, Any]:
        s = psutil.swap_memory()
        came, went = self._counters.rates("swap", (s.sin, s.sout), now)
        return {
            "total": s.total,
            "used": s.used,
            "free": s.free,
            "percent": percent(s.used, s.total),
            "in_bytes_per_s": came,
            "out_bytes_per_s": went,
        }


class _DiskIo:
    def __init__(self) -> None:
        self._counters = Counters()

    def collect(self, now: float) -> list[dict[str, Any]]:
        found = []
        for name, io in (psutil.disk_io_counters(perdisk=True) or {}).items():
            counters = {
                "read_bytes": io.read_bytes,
                "write_bytes": io.write_bytes,
                "reads": io.read_count,
                "writes": io.write_count,
            }
            rates = self._counters.rates(name, list(counters.values()), now)
            found.append({"device": text(name), **counters, **_per_second(counters, rates)})
        return found


class _Network:
    def __init__(self) -> None:
        self._counters = Counters()

    def collect(self, now: float) -> list[dict[str, Any]]:
        states = psutil.net_if_stats()
        found = []
        for name, io in psutil.net_io_counters(pernic=True).items():
            sent, recv, packets_sent, packets_recv, errors, drops = self._counters.rates(
                name,
                (
                    io.bytes_sent,
                    io.bytes_recv,
                    io.packets_sent,
                    io.packets_recv,
                    io.errin + io.errout,
                    io.dropin + io.dropout,
                ),
                now,
            )
            found.append(
                {
                    "interface": text(name),
                    "bytes_sent": io.bytes_sent,
                    "bytes_recv": io.bytes_recv,
                    "packets_sent": io.packets_sent,
                    "packets_recv": io.packets_recv,
                    "errors_in": io.errin,
                    "errors_out": io.errout,
                    "drops_in": io.dropin,
                    "drops_out": io.dropout,
                    "sent_bytes_per_s": sent,
                    "recv_bytes_per_s": recv,
                    "sent_packets_per_s": packets_sent,
                    "recv_packets_per_s": packets_recv,
                    "errors_per_s": errors,
                    "drops_per_s": drops,
                    "is_up": name not in states or states[name].isup,
                }
            )
        return found


def _disks(now: float) -> list[dict[str, Any]]:
    found = []
    for part in psutil.disk_partitions(all=False):
        with suppress(OSError):
            use = psutil.disk_usage(part.mountpoint)
            found.append(
                {
                    "device": text(part.device),
                    "mountpoint": text(part.mountpoint, 4096),
                    "fstype": text(part.fstype),
                    "total": use.total,
                    "used": use.used,
                    "free": use.free,
                    "percent": percent(use.used, use.used + use.free),
                    "read_only": "ro" in part.opts.split(","),
                }
            )
    return found


def _system(now: float) -> dict[str, Any]:
    return {
        "hostname": host_name(HostPaths()),
        "platform": text(platform.platform(), 512),
        "architecture": text(platform.machine()),
        "boot_time": int(psutil.boot_time() * 1000),
        "kernel": text(platform.release()),
        "os": text(platform.system()),
    }


def _temperatures(now: float) -> list[dict[str, Any]]:
    found = []
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    for sensor, readings in sensors.items():
        for reading in readings:
            limits = {"high": reading.high, "critical": reading.critical}
            found.append(
                {
                    "sensor": text(sensor),
                    "label": text(reading.label),
                    "celsius": float(reading.current),
                    **{name: float(limit) for name, limit in limits.items() if limit},
                }
            )
    return found


def _per_second(counters: dict[str, int], rates: list[float]) -> dict[str, float]:
    return {f"{name}_per_s": rate for name, rate in zip(counters, rates, strict=True)}
