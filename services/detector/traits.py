"""Which changes of a metric matter to the person who owns the machine, whatever statistics say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trait:
    """``matters``: a smaller change is never anomalous, in the metric's own unit. ``noise``: the least spread a
    model believes in, in the model's unit. ``ratio``: what counts is by which factor it changed, not by how much.
    ``falls``: whether falling may be anomalous too. ``most``: the largest value there is.
    """

    matters: float
    noise: float
    ratio: bool = False
    falls: bool = False
    most: float | None = None


_MIB = float(1 << 20)

_PERCENT = Trait(matters=20, noise=3, most=100)
_OTHER = Trait(matters=100, noise=0.35, ratio=True)

_TRAITS: dict[str, Trait] = {
    "cpu.percent": Trait(25, 3, most=100),
    "cpu.system": Trait(15, 2, most=100),
    "cpu.iowait": Trait(15, 2, most=100),
    "cpu.steal": Trait(30, 3, most=100),
    "cpu.load1": Trait(4, 0.35, ratio=True),
    "memory.percent": Trait(8, 1, most=100),
    "swap.percent": Trait(10, 1, most=100),
    "swap.in_bytes_per_s": Trait(4 * _MIB, 0.5, ratio=True),
    "swap.out_bytes_per_s": Trait(4 * _MIB, 0.5, ratio=True),
    "pressure.cpu_some_avg10": Trait(50, 5, most=100),
    "pressure.memory_some_avg10": Trait(10, 1, most=100),
    "pressure.io_some_avg10": Trait(30, 4, most=100),
    "processes.count": Trait(40, 0.08, ratio=True, falls=True),
    "processes.threads": Trait(300, 0.08, ratio=True, falls=True),
    "processes.disk_sleep": Trait(8, 0.5, ratio=True),
    "processes.zombie": Trait(30, 0.5, ratio=True),
    "disk.percent": Trait(4, 0.3, most=100),
    "disk.inodes_percent": Trait(4, 0.3, most=100),
    "disk_io.read_bytes_per_s": Trait(50 * _MIB, 0.6, ratio=True),
    "disk_io.write_bytes_per_s": Trait(50 * _MIB, 0.6, ratio=True),
    "disk_io.utilization_percent": Trait(50, 5, most=100),
    "disk_io.await_ms": Trait(50, 0.6, ratio=True),
    "network.recv_bytes_per_s": Trait(8 * _MIB, 0.5, ratio=True, falls=True),
    "network.sent_bytes_per_s": Trait(8 * _MIB, 0.5, ratio=True, falls=True),
    "network.recv_packets_per_s": Trait(8000, 0.5, ratio=True),
    "network.errors_per_s": Trait(20, 0.5, ratio=True),
    "network.drops_per_s": Trait(50, 0.5, ratio=True),
    "gpu.load": Trait(50, 5, most=100),
    "gpu.memory_util": Trait(20, 2, most=100),
    "gpu.temperature": Trait(15, 2),
    "temperature.celsius": Trait(15, 2),
}


def trait(metric: str) -> Trait:
    """By the metric's name without its label."""
    return _TRAITS.get(metric) or (_PERCENT if metric.endswith("percent") else _OTHER)
