"""Hosts that behave in known ways: features, one reading a second."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

from services.detector.bank import Bank, Verdict

T0 = 1_800_000_000_000

Reading = dict[str, float]


def idle(seed: int = 0, cores: int = 4) -> Iterator[Reading]:
    """A machine with nothing to do, as noisy as they are: short bursts, heavy-tailed traffic, slow sections apart."""
    rng = random.Random(seed)
    load = 0.1
    second = 0
    while True:
        cpu = abs(rng.gauss(2, 1)) + (rng.uniform(5, 60) if rng.random() < 0.01 else 0)
        if second % 300 in (10, 11, 12):  # something from cron
            cpu += rng.uniform(30, 90)
        cpu = min(100.0, cpu)
        load += (cpu * cores / 100 - load) / 60
        written = math.exp(rng.gauss(5, 3)) if rng.random() < 0.3 else 0.0
        reading = {
            "cpu.percent": cpu,
            "cpu.system": cpu * 0.3,
            "cpu.iowait": abs(rng.gauss(0, 0.3)),
            "cpu.steal": abs(rng.gauss(0, 1)),
            "cpu.load1": load,
            "memory.percent": 30 + math.sin(second / 3000) + rng.gauss(0, 0.1),
            "swap.percent": 0.0,
            "swap.in_bytes_per_s": 0.0,
            "pressure.cpu_some_avg10": cpu / 5,
            "pressure.io_some_avg10": abs(rng.gauss(0, 1)),
            "disk_io.write_bytes_per_s{sda}": min(2e8, written),
            "disk_io.utilization_percent{sda}": min(100.0, written / 1e6),
            "disk_io.await_ms{sda}": rng.expovariate(1) if written else 0.0,
            "network.recv_bytes_per_s{eth0}": math.exp(rng.gauss(6, 2)),
            "network.sent_bytes_per_s{eth0}": math.exp(rng.gauss(6, 2)),
            "network.recv_packets_per_s{eth0}": math.exp(rng.gauss(2, 1)),
            "network.errors_per_s{eth0}": 0.0,
            "network.drops_per_s{eth0}": float(rng.random() < 0.01),
        }
        if second % 5 == 0:
            reading |= {"processes.count": 100.0 + rng.randint(0, 5), "processes.zombie": 0.0}
        if second % 15 == 0:
            reading |= {"disk.percent{/}": 40 + second / 36_000, "disk.inodes_percent{/}": 10.0}
        yield reading
        second += 1


def told(
    bank: Bank,
    story: Iterator[Reading],
    seconds: int,
    change: Callable[[int, Reading], None] = lambda second, reading: None,
    *,
    host: str = "host-1",
    first: int = 0,
) -> list[Verdict]:
    """The verdicts on the next ``seconds`` of the story, each reading changed first."""
    verdicts = []
    for second in range(first, first + seconds):
        reading = next(story)
        change(second, reading)
        verdict = bank.score(host, T0 + second * 1000, reading)
        assert verdict is not None
        verdicts.append(verdict)
    return verdicts


def longest_run(verdicts: list[Verdict]) -> int:
    """The most verdicts in a row that are anomalous."""
    longest = run = 0
    for verdict in verdicts:
        run = run + 1 if verdict.score > 1 and not verdict.warming_up else 0
        longest = max(longest, run)
    return longest


def busy_loop(_: int, reading: Reading) -> None:
    reading["cpu.percent"] = 99.8
    reading["cpu.system"] = 1.0
    reading["pressure.cpu_some_avg10"] = 40.0
