"""``/api/system/…``: the eight endpoints of the contract, and cpu_usage."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from services.api import parameters, shapes
from services.api.ask import Ask
from services.api.latest import ENDPOINTS
from services.api.parameters import AT, HOST
from services.api.responses import ok
from services.api.route import Route
from services.api.statements import statement

_SYSTEM = {
    "hostname": "web-1",
    "platform": "Linux-6.1.0-28-amd64-x86_64-with-glibc2.36",
    "architecture": "x86_64",
    "boot_time": "2026-01-29T21:30:00Z",
    "uptime": "2 days, 14:30:00",
}
_CPU = {
    "cpu_count": 4,
    "cpu_percent": 23.4,
    "cpu_freq": {"current": 2894.5, "min": 800.0, "max": 3600.0},
    "load_avg": [0.92, 0.75, 0.61],
}
_MEMORY = {
    "total": 17179869184,
    "available": 10737418240,
    "used": 5368709120,
    "percent": 37.5,
    "free": 2147483648,
}
_DISKS = [
    {
        "device": "/dev/sda1",
        "mountpoint": "/",
        "fstype": "ext4",
        "total": 107374182400,
        "used": 65498251264,
        "free": 36507222016,
        "percent": 64.2,
    }
]
_NETWORK = [
    {
        "interface": "eth0",
        "bytes_sent": 987654321012,
        "bytes_recv": 123456789012,
        "packets_sent": 812345678,
        "packets_recv": 712345678,
    }
]
_PROCESSES = [
    {
        "pid": 4242,
        "name": "postgres",
        "status": "running",
        "cpu_percent": 61.3,
        "memory_percent": 12.5,
        "memory_info": {"rss": 2147483648, "vms": 6442450944},
        "create_time": "2026-01-31T12:00:00Z",
        "cmdline": ["postgres:", "app", "web"],
    }
]
_GPU_INFO = [
    {
        "id": 0,
        "name": "NVIDIA A10",
        "load": 41.0,
        "memory_total": 23028.0,
        "memory_used": 9211.2,
        "memory_util": 40.0,
        "temperature": 56.0,
    }
]
_GPU = {"gpu_available": True, "gpu_info": _GPU_INFO, "timestamp": "2026-02-01 12:00:00"}
_MONITOR = {
    "system": _SYSTEM,
    "cpu": _CPU,
    "memory": _MEMORY,
    "disks": _DISKS,
    "network": _NETWORK,
    "processes": _PROCESSES,
    "gpus": _GPU_INFO,
}
_ABOUT: dict[str, tuple[str, Any, Any]] = {
    "system": ("What the host is, and for how long it has been up", shapes.System, _SYSTEM),
    "cpu": ("CPU use, frequency in MHz, load averages of 1, 5 and 15 minutes", shapes.Cpu, _CPU),
    "memory": ("Memory in bytes", shapes.Memory, _MEMORY),
    "disks": ("Mounted filesystems in bytes", list[shapes.Disk], _DISKS),
    "network": ("Network interfaces, counters since boot", list[shapes.Interface], _NETWORK),
    "processes": ("The greatest processes", list[shapes.Process], _PROCESSES),
    "gpu": ("GPUs, or why there are none", shapes.Gpu | shapes.NoGpu, _GPU),
    "monitor": ("All of the above at once", shapes.Monitor, _MONITOR),
}

USAGE_LIMIT = parameters.whole_number("limit", "At most so many values, the newest last.", 1, 300, 60)


async def cpu_usage(ask: Ask) -> Response:
    values = ask.query(HOST, AT, USAGE_LIMIT)
    host = ask.deps.directory.find(values[HOST], ask.now_ms)
    at, limit = values[AT], values[USAGE_LIMIT]
    if at is None and len(host.recent_cpu) >= limit:
        return ok({"data": [percent for _, percent in host.recent_cpu][-limit:]}, ask.language)
    until = ask.now_ms if at is None else at
    rows = await ask.deps.queries.rows(
        statement("recent_cpu"), {"host": host.host_id, "at": until, "since": max(0, until - 3_600_000), "limit": limit}
    )
    # What was just heard may not be in the store yet.
    known = dict(rows) | {ts: percent for ts, percent in host.recent_cpu if ts <= until}
    return ok({"data": [known[ts] for ts in sorted(known)][-limit:]}, ask.language)


ROUTES = [
    Route(
        "GET",
        f"/api/system/{endpoint.name}/",
        endpoint.answer,
        "read",
        _ABOUT[endpoint.name][0],
        "system",
        data=_ABOUT[endpoint.name][1],
        example=_ABOUT[endpoint.name][2],
        parameters=endpoint.parameters,
        description="`at=` answers from the store, with the newest reading at or before that instant.",
        refusals=(404, 503),
        fast=True,
    )
    for endpoint in ENDPOINTS
] + [
    Route(
        "GET",
        "/api/system/cpu_usage/",
        cpu_usage,
        "read",
        "Recent CPU percentages of a host, oldest first",
        "system",
        data=shapes.CpuUsage,
        example={"data": [12.0, 15.5, 23.4]},
        parameters=(HOST, AT, USAGE_LIMIT),
        refusals=(404, 503),
    )
]
