"""What a host sample looks like to the models: metric names of the catalogue, each with one number.

A labelled metric carries its label: ``disk.percent{/srv}``. How many of a kind are looked at is bounded, and which
they are does not change from sample to sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

from shared.schemas.metrics import BY_NAME
from shared.schemas.sample import HostSample

MAX_OF_A_KIND = 8
_VIRTUAL = ("lo", "veth", "br-", "docker", "cni", "cali", "flannel", "virbr", "tap", "ifb", "dummy")

WATCHED = (
    "cpu.percent",
    "cpu.system",
    "cpu.iowait",
    "cpu.steal",
    "cpu.load1",
    "memory.percent",
    "swap.percent",
    "swap.in_bytes_per_s",
    "swap.out_bytes_per_s",
    "pressure.cpu_some_avg10",
    "pressure.memory_some_avg10",
    "pressure.io_some_avg10",
    "processes.count",
    "processes.threads",
    "processes.disk_sleep",
    "processes.zombie",
    "disk.percent",
    "disk.inodes_percent",
    "disk_io.read_bytes_per_s",
    "disk_io.write_bytes_per_s",
    "disk_io.utilization_percent",
    "disk_io.await_ms",
    "network.recv_bytes_per_s",
    "network.sent_bytes_per_s",
    "network.recv_packets_per_s",
    "network.errors_per_s",
    "network.drops_per_s",
    "gpu.load",
    "gpu.memory_util",
    "gpu.temperature",
    "temperature.celsius",
)
"""Every metric that ``features`` knows."""

T = TypeVar("T")


def features(sample: HostSample) -> dict[str, float]:
    """Of the sections this sample has."""
    out: dict[str, float] = {}
    if cpu := sample.cpu:
        out["cpu.percent"] = cpu.percent
        out["cpu.system"] = cpu.modes.system
        out["cpu.iowait"] = cpu.modes.iowait
        out["cpu.steal"] = cpu.modes.steal
    if load := sample.load:
        out["cpu.load1"] = load.load1
    if memory := sample.memory:
        out["memory.percent"] = memory.percent
    if swap := sample.swap:
        out["swap.percent"] = swap.percent
        out["swap.in_bytes_per_s"] = swap.in_bytes_per_s
        out["swap.out_bytes_per_s"] = swap.out_bytes_per_s
    if pressure := sample.pressure:
        out["pressure.cpu_some_avg10"] = pressure.cpu_some_avg10
        out["pressure.memory_some_avg10"] = pressure.memory_some_avg10
        out["pressure.io_some_avg10"] = pressure.io_some_avg10
    if processes := sample.processes:
        out["processes.count"] = processes.count
        out["processes.threads"] = processes.threads
        out["processes.disk_sleep"] = processes.disk_sleep
        out["processes.zombie"] = processes.zombie
    for disk in _few(sample.disks):
        out[f"disk.percent{{{disk.mountpoint}}}"] = disk.percent
        out[f"disk.inodes_percent{{{disk.mountpoint}}}"] = disk.inodes_percent
    for device in _few(sample.disk_io):
        out[f"disk_io.read_bytes_per_s{{{device.device}}}"] = device.read_bytes_per_s
        out[f"disk_io.write_bytes_per_s{{{device.device}}}"] = device.write_bytes_per_s
        out[f"disk_io.utilization_percent{{{device.device}}}"] = device.utilization_percent
        out[f"disk_io.await_ms{{{device.device}}}"] = device.await_ms
    for card in _few(n for n in sample.network or () if not is_virtual(n.interface)):
        out[f"network.recv_bytes_per_s{{{card.interface}}}"] = card.recv_bytes_per_s
        out[f"network.sent_bytes_per_s{{{card.interface}}}"] = card.sent_bytes_per_s
        out[f"network.recv_packets_per_s{{{card.interface}}}"] = card.recv_packets_per_s
        out[f"network.errors_per_s{{{card.interface}}}"] = card.errors_per_s
        out[f"network.drops_per_s{{{card.interface}}}"] = card.drops_per_s
    for gpu in _few(sample.gpus.devices if sample.gpus else None):
        out[f"gpu.load{{{gpu.id}}}"] = gpu.load
        out[f"gpu.memory_util{{{gpu.id}}}"] = gpu.memory_util
        if gpu.temperature is not None:
            out[f"gpu.temperature{{{gpu.id}}}"] = gpu.temperature
    for sensor in _few(sample.temperatures):
        out[f"temperature.celsius{{{sensor.sensor}/{sensor.label}}}"] = sensor.celsius
    return out


def split(feature: str) -> tuple[str, dict[str, str]]:
    """``disk.percent{/srv}`` -> the metric's name and its labels, ``("disk.percent", {"mountpoint": "/srv"})``."""
    name, brace, label = feature.partition("{")
    if not brace:
        return name, {}
    metric = BY_NAME.get(name)
    return name, {(metric.label if metric and metric.label else "label"): label.removesuffix("}")}


def is_virtual(interface: str) -> bool:
    """Whether what goes through it goes through another one as well."""
    return interface.startswith(_VIRTUAL)


def _few(entries: Iterable[T] | None) -> Iterable[T]:
    return islice(entries or (), MAX_OF_A_KIND)
