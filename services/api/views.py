"""Sections of a host sample in the shapes the contract promises. Pure; ``encoded`` turns them into JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.api import messages
from services.api.messages import Language
from shared.runtime import times

SORTS = ("cpu_percent", "memory_percent", "create_time")


def system(section: Any, now_ms: int) -> dict[str, Any]:
    return {
        "hostname": section.hostname,
        "platform": section.platform,
        "architecture": section.architecture,
        "boot_time": times.iso(section.boot_time // 1000 * 1000),
        "uptime": times.uptime(section.boot_time, now_ms),
    }


def cpu(section: Any, load: Any | None) -> dict[str, Any]:
    freq = section.freq
    return {
        "cpu_count": section.count,
        "cpu_percent": section.percent,
        "cpu_freq": {"current": freq.current, "min": freq.min, "max": freq.max},
        "load_avg": [load.load1, load.load5, load.load15] if load else [None, None, None],
    }


def memory(section: Any) -> dict[str, Any]:
    return {
        "total": section.total,
        "available": section.available,
        "used": section.used,
        "percent": section.percent,
        "free": section.free,
    }


def disks(section: Any) -> list[dict[str, Any]]:
    return [
        {
            "device": d.device,
            "mountpoint": d.mountpoint,
            "fstype": d.fstype,
            "total": d.total,
            "used": d.used,
            "free": d.free,
            "percent": d.percent,
        }
        for d in section
    ]


def network(section: Any) -> list[dict[str, Any]]:
    return [
        {
            "interface": n.interface,
            "bytes_sent": n.bytes_sent,
            "bytes_recv": n.bytes_recv,
            "packets_sent": n.packets_sent,
            "packets_recv": n.packets_recv,
        }
        for n in section
    ]


def processes(section: Any, limit: int = 20, sort_by: str = "cpu_percent") -> list[dict[str, Any]]:
    """``limit`` of them, the greatest first; equals by pid."""
    chosen = sorted(section.top, key=lambda p: (-getattr(p, sort_by), p.pid))[:limit]
    return [
        {
            "pid": p.pid,
            "name": p.name,
            "status": p.status,
            "cpu_percent": p.cpu_percent,
            "memory_percent": p.memory_percent,
            "memory_info": {"rss": p.memory_info.rss, "vms": p.memory_info.vms},
            "create_time": times.iso(p.create_time),
            "cmdline": p.cmdline,
        }
        for p in chosen
    ]


def gpu_info(section: Any | None) -> list[dict[str, Any]]:
    if section is None:
        return []
    return [
        {
            "id": g.id,
            "name": g.name,
            "load": g.load,
            "memory_total": g.memory_total,
            "memory_used": g.memory_used,
            "memory_util": g.memory_util,
            "temperature": g.temperature,
        }
        for g in section.devices
    ]


def gpu(section: Any | None, ts_ms: int, language: Language) -> dict[str, Any]:
    """A host that said nothing of GPUs has none that we know of."""
    timestamp = times.clock_face(ts_ms)
    if section is not None and section.devices:
        return {"gpu_available": True, "gpu_info": gpu_info(section), "timestamp": timestamp}
    missing = section is not None and section.reason == "library_missing"
    text = messages.GPU_NO_LIBRARY if missing else messages.GPU_NO_DEVICE
    return {"gpu_available": False, "message": text.say(language), "timestamp": timestamp}


def monitor(sections: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Everything at once; ``None`` for what the host has not reported."""

    def shape(name: str, view: Any, *more: Any) -> Any:
        section = sections.get(name)
        return None if section is None else view(section, *more)

    return {
        "system": shape("system", system, now_ms),
        "cpu": shape("cpu", cpu, sections.get("load")),
        "memory": shape("memory", memory),
        "disks": shape("disks", disks),
        "network": shape("network", network),
        "processes": shape("processes", processes),
        "gpus": gpu_info(sections.get("gpus")),
    }
