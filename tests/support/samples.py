"""A host as it might be: events for tests to start from."""

from __future__ import annotations

import copy
from typing import Any

GIB = 1 << 30
T0 = 1_800_000_000_000
"""The instant of the sample, epoch milliseconds; also where ``ManualClock`` starts."""


def host_sample(**overrides: Any) -> dict[str, Any]:
    """A complete, valid host sample as the dictionary that goes on the wire; every section is there.

    ``host_sample(cpu=None)`` leaves a section out, ``host_sample(cpu={"percent": 99.0})`` changes one number of it,
    a list replaces the list. The caller owns what it gets.
    """
    sample = copy.deepcopy(_SAMPLE)
    for name, value in overrides.items():
        if value is None:
            sample.pop(name, None)
        elif isinstance(value, dict) and isinstance(sample.get(name), dict) and name != "labels":
            sample[name] |= value
        else:
            sample[name] = value
    return sample


_SAMPLE: dict[str, Any] = {
    "schema_version": 1,
    "event_id": "4f1d2c3b5a69788796a5b4c3d2e1f001-1800000000000",
    "ts": T0,
    "kind": "sample",
    "host_id": "4f1d2c3b5a69788796a5b4c3d2e1f001",
    "host": "web-1",
    "labels": {"role": "web", "rack": "b4"},
    "seq": 7,
    "agent": {
        "version": "0.1.0",
        "interval_ms": 1000,
        "started_at": T0 - 7_000,
        "cpu_percent": 0.7,
        "rss_bytes": 42 << 20,
        "tick_ms": 4.2,
        "spooled_events": 0,
        "spooled_bytes": 0,
        "dropped_events": 0,
        "failed_sections": {"temperatures": "no sensor can be read"},
    },
    "system": {
        "hostname": "web-1",
        "platform": "Linux-6.1.0-28-amd64-x86_64-with-glibc2.36",
        "architecture": "x86_64",
        "boot_time": T0 - 225_000_000,
        "kernel": "6.1.0-28-amd64",
        "os": "Debian GNU/Linux 12 (bookworm)",
    },
    "cpu": {
        "count": 4,
        "percent": 23.4,
        "per_core": [40.0, 21.6, 20.0, 12.0],
        "modes": {
            "user": 15.1,
            "system": 6.2,
            "idle": 75.4,
            "nice": 0.1,
            "iowait": 1.2,
            "irq": 0.0,
            "softirq": 0.9,
            "steal": 1.1,
            "guest": 0.0,
        },
        "freq": {"current": 2894.5, "min": 800.0, "max": 3600.0},
        "context_switches_per_s": 8123.0,
        "interrupts_per_s": 4021.0,
    },
    "load": {"load1": 0.92, "load5": 0.75, "load15": 0.61},
    "memory": {
        "total": 16 * GIB,
        "available": 10 * GIB,
        "used": 5 * GIB,
        "free": 2 * GIB,
        "percent": 37.5,
        "buffers": GIB // 2,
        "cached": 8 * GIB,
        "shared": GIB // 4,
        "slab": GIB // 8,
    },
    "swap": {
        "total": 4 * GIB,
        "used": GIB,
        "free": 3 * GIB,
        "percent": 25.0,
        "in_bytes_per_s": 0.0,
        "out_bytes_per_s": 4096.0,
    },
    "disks": [
        {
            "device": "/dev/sda1",
            "mountpoint": "/",
            "fstype": "ext4",
            "total": 100 * GIB,
            "used": 61 * GIB,
            "free": 34 * GIB,
            "percent": 64.2,
            "inodes_total": 6_553_600,
            "inodes_used": 412_345,
            "inodes_percent": 6.3,
            "read_only": False,
        },
        {
            "device": "/dev/sdb1",
            "mountpoint": "/srv/data",
            "fstype": "xfs",
            "total": 2000 * GIB,
            "used": 900 * GIB,
            "free": 1100 * GIB,
            "percent": 45.0,
            "inodes_total": 1_048_576_000,
            "inodes_used": 1_234_567,
            "inodes_percent": 0.1,
            "read_only": False,
        },
    ],
    "disk_io": [
        {
            "device": "sda",
            "read_bytes": 81_234_567_168,
            "write_bytes": 412_345_678_848,
            "reads": 2_345_678,
            "writes": 9_876_543,
            "read_bytes_per_s": 16_384.0,
            "write_bytes_per_s": 1_048_576.0,
            "reads_per_s": 4.0,
            "writes_per_s": 87.5,
            "utilization_percent": 7.4,
            "await_ms": 0.81,
            "queue_depth": 0.07,
        }
    ],
    "network": [
        {
            "interface": "eth0",
            "bytes_sent": 987_654_321_012,
            "bytes_recv": 123_456_789_012,
            "packets_sent": 812_345_678,
            "packets_recv": 712_345_678,
            "errors_in": 0,
            "errors_out": 0,
            "drops_in": 12,
            "drops_out": 0,
            "sent_bytes_per_s": 1_250_000.0,
            "recv_bytes_per_s": 830_000.0,
            "sent_packets_per_s": 1042.0,
            "recv_packets_per_s": 913.0,
            "errors_per_s": 0.0,
            "drops_per_s": 0.5,
            "speed_mbps": 1000,
            "is_up": True,
        },
        {
            "interface": "lo",
            "bytes_sent": 5_555_555,
            "bytes_recv": 5_555_555,
            "packets_sent": 44_444,
            "packets_recv": 44_444,
            "errors_in": 0,
            "errors_out": 0,
            "drops_in": 0,
            "drops_out": 0,
            "sent_bytes_per_s": 512.0,
            "recv_bytes_per_s": 512.0,
            "sent_packets_per_s": 4.0,
            "recv_packets_per_s": 4.0,
            "errors_per_s": 0.0,
            "drops_per_s": 0.0,
            "is_up": True,
        },
    ],
    "pressure": {
        "cpu_some_avg10": 2.31,
        "cpu_some_avg60": 1.87,
        "memory_some_avg10": 0.12,
        "memory_some_avg60": 0.05,
        "memory_full_avg10": 0.03,
        "memory_full_avg60": 0.01,
        "io_some_avg10": 1.42,
        "io_some_avg60": 0.98,
        "io_full_avg10": 1.11,
        "io_full_avg60": 0.76,
    },
    "processes": {
        "count": 231,
        "running": 2,
        "sleeping": 168,
        "disk_sleep": 1,
        "stopped": 0,
        "zombie": 1,
        "idle": 59,
        "other": 0,
        "threads": 812,
        "top": [
            {
                "pid": 4242,
                "name": "postgres",
                "status": "running",
                "cpu_percent": 61.3,
                "memory_percent": 12.5,
                "memory_info": {"rss": 2 * GIB, "vms": 6 * GIB},
                "create_time": T0 - 86_400_000,
                "cmdline": ["postgres:", "app", "web", "10.0.0.17(53122)", "SELECT"],
                "username": "postgres",
            },
            {
                "pid": 1,
                "name": "systemd",
                "status": "sleeping",
                "cpu_percent": 0.0,
                "memory_percent": 0.07,
                "memory_info": {"rss": 12 << 20, "vms": 168 << 20},
                "create_time": T0 - 225_000_000,
                "cmdline": ["/sbin/init"],
                "username": "root",
            },
        ],
    },
    "gpus": {
        "devices": [
            {
                "id": 0,
                "name": "NVIDIA A10",
                "load": 41.0,
                "memory_total": 23_028.0,
                "memory_used": 9_211.2,
                "memory_util": 40.0,
                "temperature": 56.0,
            }
        ]
    },
    "temperatures": [
        {"sensor": "coretemp", "label": "Package id 0", "celsius": 52.0, "high": 84.0, "critical": 100.0},
        {"sensor": "nvme", "celsius": 38.9},
    ],
}
