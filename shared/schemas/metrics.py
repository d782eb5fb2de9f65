"""The metric catalogue: every number of a host sample that has a name of its own.

``section``/``field`` say where it stands in the event (``modes.user`` is a field of a field); ``decimals`` how many
are kept; ``label`` is the key that tells the entries of a list section apart.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    description: str
    section: str
    field: str
    decimals: int = 0
    label: str | None = None
    important: bool = False
    """Important metrics keep quantiles in their rollups."""


def _scalars(
    section: str, prefix: str, unit: str, decimals: int, fields: dict[str, str], *important: str
) -> list[Metric]:
    return [
        Metric(f"{prefix}.{field.split('.')[-1]}", unit, text, section, field, decimals, important=field in important)
        for field, text in fields.items()
    ]


def _labelled(
    section: str, prefix: str, label: str, fields: dict[str, tuple[str, int, str]], *important: str
) -> list[Metric]:
    return [
        Metric(f"{prefix}.{field}", unit, text, section, field, decimals, label, field in important)
        for field, (unit, decimals, text) in fields.items()
    ]


_PRESSURE = {
    f"{resource}_{who}_avg{seconds}": f"share of the last {seconds} s in which {who} tasks waited for {resource}"
    for resource in ("cpu", "memory", "io")
    for who in ("some", "full")
    for seconds in (10, 60)
    if (resource, who) != ("cpu", "full")
}

CATALOGUE: tuple[Metric, ...] = (
    *_scalars("cpu", "cpu", "percent", 1, {"percent": "busy share of all cores"}, "percent"),
    *_scalars(
        "cpu",
        "cpu",
        "percent",
        1,
        {
            f"modes.{mode}": f"share of all cores' time in mode {mode}"
            for mode in ("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest")
        },
        "modes.iowait",
        "modes.steal",
    ),
    *_scalars(
        "cpu",
        "cpu",
        "per second",
        0,
        {"context_switches_per_s": "context switches", "interrupts_per_s": "hardware interrupts served"},
    ),
    *_scalars(
        "load",
        "cpu",
        "tasks",
        2,
        {f"load{minutes}": f"running or waiting tasks, {minutes} minute average" for minutes in (1, 5, 15)},
        "load1",
    ),
    *_scalars(
        "memory",
        "memory",
        "percent",
        1,
        {"percent": "memory not available to new programs"},
        "percent",
    ),
    *(
        Metric(f"memory.{field}_bytes", "bytes", text, "memory", field, important=field == "available")
        for field, text in {
            "total": "installed memory",
            "available": "memory new programs can have without swapping",
            "used": "memory in use by programs",
            "free": "memory used by nobody",
            "buffers": "buffers of block devices",
            "cached": "page cache",
            "shared": "shared memory and tmpfs",
            "slab": "kernel objects",
        }.items()
    ),
    *_scalars("swap", "swap", "percent", 1, {"percent": "swap in use"}, "percent"),
    *(
        Metric(f"swap.{field}_bytes", "bytes", text, "swap", field)
        for field, text in {"total": "swap space", "used": "swap in use", "free": "swap free"}.items()
    ),
    *_scalars(
        "swap",
        "swap",
        "bytes per second",
        0,
        {"in_bytes_per_s": "read back from swap", "out_bytes_per_s": "written to swap"},
    ),
    *_scalars("pressure", "pressure", "percent", 2, _PRESSURE, "cpu_some_avg10", "memory_full_avg10", "io_full_avg10"),
    *_scalars(
        "processes",
        "processes",
        "processes",
        0,
        {
            "count": "all processes",
            "running": "on a CPU or ready to run",
            "sleeping": "waiting for something",
            "disk_sleep": "waiting uninterruptibly, mostly for a disk",
            "stopped": "stopped or traced",
            "zombie": "ended, not yet collected by the parent",
            "idle": "idle kernel threads",
            "other": "in any other state",
        },
        "count",
    ),
    *_scalars("processes", "processes", "threads", 0, {"threads": "threads of all processes"}),
    *_labelled(
        "disks",
        "disk",
        "mountpoint",
        {
            "percent": ("percent", 1, "used share of the space unprivileged users can have"),
            "inodes_percent": ("percent", 1, "inodes in use"),
            "inodes_total": ("inodes", 0, "inodes"),
            "inodes_used": ("inodes", 0, "inodes in use"),
        },
        "percent",
    ),
    *(
        Metric(f"disk.{field}_bytes", "bytes", text, "disks", field, label="mountpoint")
        for field, text in {"total": "size", "used": "used", "free": "free for unprivileged users"}.items()
    ),
    *_labelled(
        "disk_io",
        "disk_io",
        "device",
        {
            "read_bytes_per_s": ("bytes per second", 0, "read"),
            "write_bytes_per_s": ("bytes per second", 0, "written"),
            "reads_per_s": ("per second", 1, "reads completed"),
            "writes_per_s": ("per second", 1, "writes completed"),
            "utilization_percent": ("percent", 1, "time with at least one request in flight"),
            "await_ms": ("milliseconds", 2, "mean time a request took"),
            "queue_depth": ("requests", 2, "mean requests in flight"),
        },
        "read_bytes_per_s",
        "write_bytes_per_s",
        "await_ms",
        "utilization_percent",
    ),
    *_labelled(
        "network",
        "network",
        "interface",
        {
            "recv_bytes_per_s": ("bytes per second", 0, "received"),
            "sent_bytes_per_s": ("bytes per second", 0, "sent"),
            "recv_packets_per_s": ("packets per second", 1, "received"),
            "sent_packets_per_s": ("packets per second", 1, "sent"),
            "errors_per_s": ("packets per second", 2, "with errors, both ways"),
            "drops_per_s": ("packets per second", 2, "dropped, both ways"),
        },
        "recv_bytes_per_s",
        "sent_bytes_per_s",
    ),
    *_labelled(
        "gpus",
        "gpu",
        "id",
        {
            "load": ("percent", 1, "busy share"),
            "memory_util": ("percent", 1, "memory in use"),
            "temperature": ("degrees Celsius", 1, "temperature"),
        },
        "load",
    ),
    *(
        Metric(f"gpu.{field}_mib", "MiB", text, "gpus", field, label="id")
        for field, text in {"memory_total": "memory", "memory_used": "memory in use"}.items()
    ),
    Metric("temperature.celsius", "degrees Celsius", "temperature", "temperatures", "celsius", 1, "sensor"),
    Metric("host.score", "score", "anomaly score: 0..1 normal, above 1 anomalous", "score", "score", 3, important=True),
    Metric(
        "host.metric_score",
        "score",
        "score of one metric of a host, where it is 0.5 or more",
        "score",
        "score",
        3,
        "metric",
    ),
)

BY_NAME: dict[str, Metric] = {m.name: m for m in CATALOGUE}
