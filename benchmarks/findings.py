"""What the named findings cost: CPU microseconds an event beside decoding it, at several cadences, and memory a host.

``python -m benchmarks.findings [events]``
"""

from __future__ import annotations

import json
import random
import sys
import time
import tracemalloc
from typing import Any

from services.detector.findings.bank import Findings
from shared.schemas.codec import Decoder
from shared.schemas.sample import HostSample
from tests.support.samples import GIB, T0, host_sample

HOSTS = 20


def main(events: int = 5000) -> None:
    print(f"{'':34} {'us/event':>9} {'p99':>7}")
    for seconds in (1, 15, 60, 300):
        lines = _lines(seconds, events)
        decoder = Decoder(HostSample)
        began = time.process_time()
        samples = [decoder.line(line) for line in lines]
        decode = (time.process_time() - began) / len(lines) * 1e6
        if seconds == 1:
            print(f"{f'decode ({sum(map(len, lines)) // len(lines)} bytes)':34} {decode:>9.1f}")
        mean, late = _observe(Findings(max_hosts=HOSTS), samples)
        print(f"{f'findings, a sample every {seconds} s':34} {mean:>9.1f} {late:>7.0f}")
    print(f"{'memory a host, traced':34} {_memory(samples) / 1024:>8.1f}k")
    findings = Findings(max_hosts=HOSTS)
    _observe(findings, samples)
    state = findings.state(samples[0].host_id)
    began = time.process_time()
    for _ in range(100):
        findings.state(samples[0].host_id)
    print(f"{'state of a host':34} {len(state) / 1024:>8.1f}k {(time.process_time() - began) * 1e4:>6.0f} us to write")


def _observe(findings: Findings, samples: list[HostSample]) -> tuple[float, float]:
    """Mean CPU time, and the 99th percentile of the time on the clock."""
    took = []
    start = time.process_time()
    for sample in samples:
        began = time.perf_counter()
        findings.observe(sample)
        took.append((time.perf_counter() - began) * 1e6)
    mean = (time.process_time() - start) / len(samples) * 1e6
    return mean, sorted(took)[int(len(took) * 0.99)]


def _memory(samples: list[HostSample]) -> float:
    tracemalloc.start()
    findings = Findings(max_hosts=HOSTS)
    for sample in samples:
        findings.observe(sample)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / HOSTS


def _lines(seconds: int, events: int) -> list[bytes]:
    """Every section in every sample where they are rare; at one a second the slow ones come every 5 to 15 s."""
    rng = random.Random(0)
    lines = []
    for number in range(events):
        tick, host = number // HOSTS, f"host-{number % HOSTS}"
        sections: dict[str, Any] = {
            "cpu": {"percent": rng.uniform(0, 40)},
            "load": {"load1": rng.uniform(0, 2)},
            "memory": {"total": 16 * GIB, "available": int((9 + rng.random()) * GIB), "percent": 40 + rng.random()},
            "disks": [_disk(n, 60 + tick / 1000 + rng.random() / 10) for n in range(4)],
            "network": [_card(n, rng) for n in range(3)],
            "processes": {"count": 200 + rng.randint(0, 5), "top": [_process(n, rng) for n in range(8)]},
        }
        if tick * seconds % 15:
            sections |= {"disks": None, "temperatures": None}
        if tick * seconds % 5:
            sections |= {"processes": None}
        ts = T0 + tick * seconds * 1000
        lines.append(json.dumps(host_sample(host_id=host, event_id=f"{host}-{ts}", ts=ts, **sections)).encode())
    return lines


def _disk(number: int, percent: float) -> dict[str, Any]:
    used = int(percent * GIB)
    return {
        "device": f"/dev/sd{number}",
        "mountpoint": f"/srv/{number}",
        "fstype": "ext4",
        "total": 100 * GIB,
        "used": used,
        "free": 100 * GIB - used,
        "percent": percent,
        "inodes_total": 1_000_000,
        "inodes_used": 100_000 + used % 1000,
        "inodes_percent": 10.0,
    }


def _card(number: int, rng: random.Random) -> dict[str, Any]:
    counters = dict.fromkeys(("bytes_sent", "bytes_recv", "packets_sent", "packets_recv"), 1)
    rates = {name: rng.uniform(1e5, 1e6) for name in ("sent_bytes_per_s", "recv_bytes_per_s")}
    return {"interface": f"eth{number}", **counters, **rates, "recv_packets_per_s": 900.0}


def _process(number: int, rng: random.Random) -> dict[str, Any]:
    return {
        "pid": 100 + number,
        "name": f"daemon-{number}",
        "status": "sleeping",
        "cpu_percent": rng.uniform(0, 10),
        "memory_percent": 5.0,
        "memory_info": {"rss": GIB, "vms": GIB},
        "create_time": T0 - 10**9,
        "cmdline": [f"/usr/sbin/daemon-{number}", "--config", f"/etc/daemon-{number}.conf"],
        "username": "daemon",
    }


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
