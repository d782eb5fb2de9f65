"""A made-up fleet whose numbers move like real ones: load follows the hour and comes in bursts, rates follow load,
counters integrate rates, memory creeps, disks fill, processes stay for a while.

Deterministic: the same arguments make the same bytes. About 180 numbers an event, of which most repeat or move
little, as on real machines; processes, disks, GPU, temperatures and the machine's description come on their own
intervals, as the agent's defaults have them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import msgspec

GIB = 1 << 30
CORES = 16
DEVICES = ("nvme0n1", "nvme1n1", "sda")
INTERFACES = ("eth0", "eth1", "docker0", "lo")
MOUNTS = (
    ("/dev/nvme0n1p2", "/", "ext4", 100),
    ("/dev/nvme0n1p1", "/boot", "ext4", 1),
    ("/dev/nvme1n1", "/var/lib/data", "xfs", 1800),
    ("/dev/sda1", "/srv", "xfs", 8000),
)
TOP = 20
COMMANDS: tuple[tuple[str, str, list[str]], ...] = (
    ("postgres", "postgres", ["postgres: app web 10.0.0.17(53122) idle in transaction"]),
    ("nginx", "www-data", ["nginx: worker process"]),
    ("java", "app", ["/usr/lib/jvm/java-21/bin/java", "-Xmx8g", "-XX:+UseG1GC", "-jar", "/opt/app/service.jar"]),
    ("python3", "app", ["/opt/app/.venv/bin/python3", "-m", "worker", "--queue", "default", "--concurrency", "4"]),
    ("redis-server", "redis", ["/usr/bin/redis-server 127.0.0.1:6379"]),
    ("node", "web", ["node", "/srv/web/server.js", "--port", "3000"]),
    ("systemd-journal", "root", ["/lib/systemd/systemd-journald"]),
    ("containerd-shim", "root", ["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", "3f9c1a"]),
    ("kworker/u32:1", "root", []),
    ("sshd", "root", ["sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"]),
)


class Host:
    """``sample(ts_ms)`` once a second, in order."""

    def __init__(self, number: int, *, top: int = TOP) -> None:
        self._random = random.Random(number)
        self._number = number
        self._top = top
        self.host_id = f"{number:08x}5a69788796a5b4c3d2e1f001"
        self.host = f"node-{number:04d}"
        self._seq = 0
        self._burst = 0.0
        self._noise = 0.0
        self._base = self._random.uniform(0.05, 0.4)
        self._load = [self._base * CORES] * 3
        self._counters: dict[str, int] = {}
        self._memory_used = self._random.uniform(0.3, 0.7)
        self._cached = 0.2
        self._disk_used = [self._random.uniform(0.2, 0.8) for _ in MOUNTS]
        self._pressure: dict[str, float] = {}
        self._processes: list[dict[str, Any]] = [self._process(i) for i in range(top)]

    def line(self, ts: int) -> bytes:
        return msgspec.json.encode(self.sample(ts))

    def sample(self, ts: int) -> dict[str, Any]:
        r, tick = self._random, self._seq
        self._seq += 1
        busy = self._busy(ts)
        event: dict[str, Any] = {
            "schema_version": 1,
            "event_id": f"{self.host_id}-{ts}",
            "ts": ts,
            "kind": "sample",
            "host_id": self.host_id,
            "host": self.host,
            "labels": {"role": "web", "rack": f"b{self._number % 9}"},
            "seq": tick,
            "cpu": self._cpu(busy),
            "load": self._loads(busy),
            "memory": self._memory(busy),
            "swap": {
                "total": 4 * GIB,
                "used": 123_207_680,
                "free": 4 * GIB - 123_207_680,
                "percent": 2.9,
                "in_bytes_per_s": 0.0,
                "out_bytes_per_s": 0.0,
            },
            "disk_io": [self._disk_io(d, busy * share) for d, share in zip(DEVICES, (1.0, 2.5, 0.02), strict=True)],
            "network": [
                self._network(i, busy * share) for i, share in zip(INTERFACES, (1.0, 0.2, 0.01, 0.1), strict=True)
            ],
            "pressure": self._pressures(busy),
        }
        if tick % 5 == 0:
            event["processes"] = self._process_list(busy)
            event["gpus"] = {"devices": [], "reason": "no_device"}
        if tick % 15 == 0:
            event["disks"] = self._disks()
            event["temperatures"] = [
                {
                    "sensor": "coretemp",
                    "label": f"Core {c}",
                    "celsius": float(round(38 + 30 * busy + r.random() * 2)),
                    "high": 84.0,
                    "critical": 100.0,
                }
                for c in range(4)
            ]
        if tick % 60 == 0:
            event["system"] = {
                "hostname": self.host,
                "platform": "Linux-6.1.0-28-amd64-x86_64-with-glibc2.36",
                "architecture": "x86_64",
                "boot_time": 1_790_000_000_000,
                "kernel": "6.1.0-28-amd64",
                "os": "Debian GNU/Linux 12 (bookworm)",
            }
            event["agent"] = {
                "version": "0.1.0",
                "interval_ms": 1000,
                "started_at": 1_790_000_100_000,
                "cpu_percent": round(0.6 + r.random() * 0.2, 1),
                "rss_bytes": 42 << 20,
                "tick_ms": round(3 + r.random(), 1),
            }
        return event

    def _busy(self, ts: int) -> float:
        r = self._random
        day = 0.6 + 0.4 * math.sin(ts / 86_400_000 * 2 * math.pi + self._number)
        self._noise = 0.9 * self._noise + r.gauss(0, 0.02)
        if r.random() < 0.003:
            self._burst = r.uniform(0.1, 0.5)
        self._burst *= 0.97
        return min(0.99, max(0.01, self._base * day + self._burst + self._noise))

    def _cpu(self, busy: float) -> dict[str, Any]:
        r = self._random
        cores = [min(100.0, max(0.0, round(100 * busy * r.uniform(0.6, 1.4), 1))) for _ in range(CORES)]
        percent = round(sum(cores) / CORES, 1)
        system, iowait, softirq = round(percent * 0.25, 1), round(busy * r.random() * 2, 1), round(percent * 0.02, 1)
        user = round(max(0.0, percent - system - softirq), 1)
        return {
            "count": CORES,
            "percent": percent,
            "per_core": cores,
            "modes": {
                "user": user,
                "system": system,
                "idle": round(max(0.0, 100 - percent - iowait), 1),
                "nice": 0.0,
                "iowait": iowait,
                "irq": 0.0,
                "softirq": softirq,
                "steal": 0.0,
                "guest": 0.0,
            },
            "freq": {"current": round(1500 + 2000 * busy + r.gauss(0, 30), 1), "min": 800.0, "max": 3600.0},
            "context_switches_per_s": round(4000 + 90_000 * busy * r.uniform(0.9, 1.1), 1),
            "interrupts_per_s": round(2000 + 40_000 * busy * r.uniform(0.9, 1.1), 1),
        }

    def _loads(self, busy: float) -> dict[str, float]:
        for i, window in enumerate((60, 300, 900)):
            self._load[i] += (busy * CORES - self._load[i]) / window
        return {f"load{m}": round(v, 2) for m, v in zip((1, 5, 15), self._load, strict=True)}

    def _memory(self, busy: float) -> dict[str, Any]:
        r, total = self._random, 67_423_784_960
        self._memory_used = min(0.95, max(0.1, self._memory_used + r.gauss(0, 0.0002)))
        self._cached = min(0.4, max(0.05, self._cached + r.gauss(0, 0.0001)))
        used = int(total * self._memory_used) // 4096 * 4096
        cached = int(total * self._cached) // 4096 * 4096 if r.random() < 0.5 else int(total * 0.2) // 4096 * 4096
        free = max(0, total - used - cached)
        return {
            "total": total,
            "available": total - used,
            "used": used,
            "free": free,
            "percent": round(100 * used / total, 1),
            "buffers": 512_000_000,
            "cached": cached,
            "shared": 268_435_456,
            "slab": 1_200_000_000 + int(busy * 100) * 4096,
        }

    def _count(self, key: str, rate: float) -> int:
        self._counters[key] = self._counters.get(key, self._random.randrange(10**9, 10**12)) + int(rate)
        return self._counters[key]

    def _disk_io(self, device: str, busy: float) -> dict[str, Any]:
        r = self._random
        quiet = r.random() > busy * 3
        reads = 0.0 if quiet else round(busy * 400 * r.random())
        writes = float(round(busy * 900 * r.random())) if r.random() < 0.7 else 0.0
        read_bytes, write_bytes = reads * 16384, writes * 8192
        return {
            "device": device,
            "read_bytes": self._count(f"{device}r", read_bytes),
            "write_bytes": self._count(f"{device}w", write_bytes),
            "reads": self._count(f"{device}rn", reads),
            "writes": self._count(f"{device}wn", writes),
            "read_bytes_per_s": float(read_bytes),
            "write_bytes_per_s": float(write_bytes),
            "reads_per_s": float(reads),
            "writes_per_s": float(writes),
            "utilization_percent": round(min(100.0, (reads + writes) * 0.02), 1),
            "await_ms": round(0.2 + busy * r.random(), 2) if reads + writes else 0.0,
            "queue_depth": round((reads + writes) * 0.0004, 2),
        }

    def _network(self, interface: str, busy: float) -> dict[str, Any]:
        r = self._random
        packets = float(round(busy * 8000 * r.uniform(0.7, 1.3)))
        sent, received = packets * 420, packets * 310
        return {
            "interface": interface,
            "bytes_sent": self._count(f"{interface}s", sent),
            "bytes_recv": self._count(f"{interface}r", received),
            "packets_sent": self._count(f"{interface}sp", packets),
            "packets_recv": self._count(f"{interface}rp", packets),
            "errors_in": 0,
            "errors_out": 0,
            "drops_in": 12,
            "drops_out": 0,
            "sent_bytes_per_s": sent,
            "recv_bytes_per_s": received,
            "sent_packets_per_s": packets,
            "recv_packets_per_s": packets,
            "errors_per_s": 0.0,
            "drops_per_s": 0.0,
            "speed_mbps": 10_000,
            "is_up": True,
        }

    def _pressures(self, busy: float) -> dict[str, float]:
        out = {}
        for resource, weight in (("cpu", 8.0), ("memory", 0.0), ("io", 2.0)):
            for who, share in (("some", 1.0), ("full", 0.6)):
                if (resource, who) == ("cpu", "full"):
                    continue
                for seconds in (10, 60):
                    name = f"{resource}_{who}_avg{seconds}"
                    level = self._pressure.get(name, 0.0)
                    level += (busy**2 * weight * share * self._random.uniform(0.5, 1.5) - level) / seconds
                    self._pressure[name] = level
                    out[name] = round(level, 2)
        return out

    def _disks(self) -> list[dict[str, Any]]:
        disks = []
        for i, (device, mount, fstype, gib) in enumerate(MOUNTS):
            self._disk_used[i] = min(0.97, self._disk_used[i] + 0.000001 * self._random.random() * (mount != "/boot"))
            total = gib * GIB
            used = int(total * self._disk_used[i]) // 4096 * 4096
            disks.append(
                {
                    "device": device,
                    "mountpoint": mount,
                    "fstype": fstype,
                    "total": total,
                    "used": used,
                    "free": total - used,
                    "percent": round(100 * used / total, 1),
                    "inodes_total": gib * 65536,
                    "inodes_used": used // 40_000,
                    "inodes_percent": round(100 * used / 40_000 / (gib * 65536), 1),
                    "read_only": False,
                }
            )
        return disks

    def _process(self, slot: int) -> dict[str, Any]:
        r = self._random
        name, user, cmdline = COMMANDS[slot % len(COMMANDS)]
        rss = r.randrange(1 << 12, 1 << 19) * 4096
        return {
            "pid": r.randrange(300, 4_000_000),
            "name": name,
            "status": "sleeping",
            "cpu_percent": 0.0,
            "memory_percent": round(100 * rss / 67_423_784_960, 2),
            "memory_info": {"rss": rss, "vms": rss * 3},
            "create_time": 1_790_000_000_000 + r.randrange(10**9),
            "cmdline": cmdline,
            "username": user,
        }

    def _process_list(self, busy: float) -> dict[str, Any]:
        r = self._random
        if r.random() < 0.2 and self._top:
            slot = r.randrange(self._top)
            self._processes[slot] = self._process(slot)
        for rank, p in enumerate(self._processes):
            p["cpu_percent"] = round(100 * busy * CORES / (rank + 2) ** 1.5 * r.uniform(0.7, 1.3), 1)
            p["status"] = "running" if p["cpu_percent"] > 80 else "sleeping"
            if r.random() < 0.3:
                p["memory_info"]["rss"] += r.randrange(-16, 17) * 4096
        count = 420 + round(busy * 60)
        return {
            "count": count,
            "running": 1 + round(busy * CORES),
            "sleeping": count - 120,
            "disk_sleep": int(r.random() < busy),
            "stopped": 0,
            "zombie": 0,
            "idle": 119,
            "other": 0,
            "threads": count * 3,
            "top": self._processes,
        }


def fleet(hosts: int, seconds: int, start_ms: int, *, top: int = TOP) -> Iterator[bytes]:
    """Every host's line for every second, second by second."""
    machines = [Host(n + 1, top=top) for n in range(hosts)]
    for second in range(seconds):
        for machine in machines:
            yield machine.line(start_ms + second * 1000)


def numbers_in(event: Any) -> int:
    """How many samples an event carries: its numbers, identity and times of description aside."""
    if isinstance(event, bool) or event is None or isinstance(event, str):
        return 0
    if isinstance(event, int | float):
        return 1
    children = event.values() if isinstance(event, dict) else event
    return sum(numbers_in(child) for child in children)
