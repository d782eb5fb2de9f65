"""Samples of hosts on ordinary days, and what may go wrong with them; made directly, without JSON, as they are many."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from services.detector.findings.bank import Findings
from shared.schemas import sample as models
from shared.schemas.anomaly import Anomaly
from shared.schemas.codec import twin
from shared.schemas.sample import HostSample

T0 = 1_800_000_000_000 - 1_800_000_000_000 % 86_400_000
"""A midnight."""
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
GB = 10**9
Sections = dict[str, Any]
Change = Callable[[int, Sections], None]

_structs = {name: twin(getattr(models, name)) for name in ("Cpu", "Load", "Memory", "Swap", "Disk", "DiskIo")}
_structs |= {name: twin(getattr(models, name)) for name in ("NetworkInterface", "Pressure", "Process", "Processes")}
_structs |= {name: twin(getattr(models, name)) for name in ("Temperature", "System", "MemoryInfo", "HostSample")}


def make(model: str, /, **fields: Any) -> Any:
    return _structs[model](**fields)


def sample(ts_ms: int, host: str = "web-1", labels: dict[str, str] | None = None, **sections: Any) -> HostSample:
    made: HostSample = make(
        "HostSample", event_id=f"{host}-{ts_ms}", ts=ts_ms, host_id=host, host=host, labels=labels or {}, **sections
    )
    return made


def cpu(percent: float, count: int = 4) -> Any:
    return make("Cpu", count=count, percent=percent)


def load(load1: float) -> Any:
    return make("Load", load1=load1, load5=load1, load15=load1)


def memory(percent: float, total: int = 16 * GB) -> Any:
    used = int(total * percent / 100)
    return make("Memory", total=total, available=total - used, used=used, free=total - used, percent=percent)


def swap(percent: float = 0.0, came: float = 0.0, went: float = 0.0, total: int = 0) -> Any:
    used = int(total * percent / 100)
    return make(
        "Swap", total=total, used=used, free=total - used, percent=percent, in_bytes_per_s=came, out_bytes_per_s=went
    )


def disk(percent: float, mount: str = "/srv", total: int = 100 * GB, inodes: float = 10.0, **more: Any) -> Any:
    used = int(total * percent / 100)
    fields: dict[str, Any] = {"inodes_total": 1_000_000, "inodes_used": int(inodes * 10_000), "inodes_percent": inodes}
    return make(
        "Disk",
        **{"device": "/dev/sda1", "mountpoint": mount, "fstype": "ext4", "total": total, "used": used}
        | {"free": total - used, "percent": percent}
        | fields
        | more,
    )


def card(received: float, sent: float, name: str = "eth0", **more: Any) -> Any:
    return make(
        "NetworkInterface",
        interface=name,
        bytes_sent=0,
        bytes_recv=0,
        packets_sent=0,
        packets_recv=0,
        recv_bytes_per_s=received,
        sent_bytes_per_s=sent,
        recv_packets_per_s=received / 800,
        sent_packets_per_s=sent / 800,
        **more,
    )


def process(name: str, pid: int, created: int, rss: int = GB, busy: float = 1.0) -> Any:
    return make(
        "Process",
        pid=pid,
        name=name,
        status="sleeping",
        cpu_percent=busy,
        memory_percent=min(100.0, rss / (16 * GB) * 100),
        memory_info=make("MemoryInfo", rss=rss, vms=rss),
        create_time=created,
    )


def processes(top: Iterable[Any], count: int = 200) -> Any:
    return make("Processes", count=count, top=list(top))


def temperature(celsius: float, high: float | None = None, critical: float | None = None) -> Any:
    return make("Temperature", sensor="coretemp", label="Package", celsius=celsius, high=high, critical=critical)


@functools.cache
def _crew() -> tuple[Any, ...]:
    return tuple(process(f"daemon-{n}", 100 + n, T0 - 30 * DAY, rss=GB // (n + 2)) for n in range(9))


def ordinary(
    seed: int = 0, *, step: int = MINUTE, start: int = T0, host: str = "web-1"
) -> Iterator[tuple[int, Sections]]:
    """A server with a day, a night with a backup at two, cron jobs, bursts, noise, and logs that are rotated."""
    rng = random.Random(seed)
    ts = start
    walk = 0.0
    while True:
        hour = ts % DAY / HOUR
        demand = 0.7 + 0.3 * math.cos((hour - 14) / 24 * 2 * math.pi)
        demand *= math.exp(rng.gauss(0, 0.08)) * (1.4 if rng.random() < 0.003 else 1.0)
        backup = 2 <= hour < 2.4
        walk = walk * 0.999 + rng.gauss(0, 0.05)
        cron = 30.0 if ts % (5 * MINUTE) < 3 * SECOND and step < MINUTE else 0.0
        busy = min(100.0, max(0.0, 35 * demand + rng.gauss(0, 3) + 8 * backup + cron))
        written = 90e6 if backup else 1e6 * demand
        sections: Sections = {
            "cpu": cpu(busy),
            "load": load(max(0.0, 0.06 * busy + rng.gauss(0, 0.2) + backup)),
            "memory": memory(45 + 6 * demand + walk + rng.gauss(0, 0.1)),
            "swap": swap(1.0, total=2 * GB, went=2e6 if rng.random() < 0.01 else 0.0),
            "pressure": make("Pressure", cpu_some_avg60=busy / 4, io_full_avg60=30.0 if backup else 1.0),
            "network": [
                card(8e5 * demand * math.exp(rng.gauss(0, 0.1)), 2e6 * demand + 8e6 * backup),
                card(5e6 * rng.random(), 5e6, name="docker0"),
            ],
        }
        if ts % (15 * SECOND) < step:
            grown = (ts % DAY) / DAY
            temporary = 4 * max(0.0, min(1.0, (hour - 2) * 2.5)) if backup else 0.0
            sections["disks"] = [disk(60 + grown * 1.5 + temporary + rng.random() * 0.02, inodes=20 + grown)]
            sections["disk_io"] = [
                make(
                    "DiskIo",
                    device="sda",
                    write_bytes_per_s=written,
                    utilization_percent=90.0 if backup else 8 * demand,
                    await_ms=35.0 if backup else 2.0,
                )
            ]
            sections["processes"] = processes(_crew(), count=200 + rng.randint(0, 8))
            sections["temperatures"] = [temperature(45 + busy / 5, high=85.0, critical=100.0)]
        yield ts, sections
        ts += step


def told(
    findings: Findings,
    days: Iterator[tuple[int, Sections]],
    until_ms: int,
    change: Change = lambda ts, sections: None,
    *,
    host: str = "web-1",
) -> list[Anomaly]:
    """What is said of the samples before ``until_ms`` (since ``T0``), each changed first."""
    out: list[Anomaly] = []
    for ts, sections in days:
        change(ts - T0, sections)
        out += findings.observe(sample(ts, host, **sections))
        if ts - T0 >= until_ms:
            break
    return out


def opened(events: Iterable[Anomaly]) -> list[str]:
    return [e.finding for e in events if e.state == "open"]


def one(events: Iterable[Anomaly], state: str, finding: str) -> Anomaly:
    """The only event of this state and finding."""
    (found,) = [e for e in events if e.state == state and e.finding == finding]
    return found


@functools.cache
def _two_days() -> bytes:
    findings = Findings(max_hosts=1)
    assert opened(told(findings, ordinary(), 2 * DAY - MINUTE)) == []
    return findings.state("web-1")


def after_two_days(seed: int = 1) -> tuple[Findings, Iterator[tuple[int, Sections]]]:
    """A host that is known, one reading a minute so far, and what comes next; now is two days after ``T0``."""
    findings = Findings(max_hosts=10)
    findings.restore("web-1", _two_days())
    return findings, ordinary(seed, start=T0 + 2 * DAY)


def happens(
    change: Change, minutes: float, *, then: float = 0, seed: int = 1, wait: float = 0
) -> list[tuple[float, Anomaly]]:
    """What is said, with the minutes since it began, when ``change`` (of ms since it began) goes on for ``minutes`` on
    a known host, ``wait`` minutes after two days, and all is ordinary ``then``.
    """
    findings, days = after_two_days(seed)
    begin = 2 * DAY + int(wait * MINUTE)

    def changed(ts: int, sections: Sections) -> None:
        if begin <= ts < begin + minutes * MINUTE:
            change(ts - begin, sections)

    events = told(findings, days, begin + int((minutes + then) * MINUTE), changed)
    return [((e.ts - T0 - begin) / MINUTE, e) for e in events]


def times(events: Iterable[tuple[float, Anomaly]], state: str = "open") -> dict[str, float]:
    """Minutes after which each finding was first opened (closed)."""
    out: dict[str, float] = {}
    for minute, event in events:
        if event.state == state:
            out.setdefault(event.finding, minute)
    return out
