"""A host at an instant: the event on ``lapwing.metrics.v1``.

Sections that were not due at this instant are absent (``None``). Percentages are 0..100; a process's
``cpu_percent`` is of one core and may exceed 100. Rates are per second since the section's previous reading.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.base import Bytes, Count, EpochMs, Event, HostId, Name, Percent, Rate, Wire

Celsius = Annotated[float, Field(ge=-273.15, le=10_000)]


class System(Wire):
    hostname: Name
    platform: Annotated[str, Field(max_length=512)]
    architecture: Name
    boot_time: EpochMs
    kernel: Name = ""
    os: Name = ""


class CpuModes(Wire):
    """Share of all cores' time in each mode since the previous reading."""

    user: Percent = 0.0
    system: Percent = 0.0
    idle: Percent = 0.0
    nice: Percent = 0.0
    iowait: Percent = 0.0
    irq: Percent = 0.0
    softirq: Percent = 0.0
    steal: Percent = 0.0
    guest: Percent = 0.0


class CpuFrequency(Wire):
    """MHz; ``None`` where the machine does not say."""

    current: Rate | None = None
    min: Rate | None = None
    max: Rate | None = None


class Cpu(Wire):
    count: Annotated[int, Field(ge=1, le=65_535, description="Logical cores.")]
    percent: Percent
    per_core: Annotated[list[Percent], Field(max_length=65_535)] = []
    modes: CpuModes = CpuModes()
    freq: CpuFrequency = CpuFrequency()
    context_switches_per_s: Rate = 0.0
    interrupts_per_s: Rate = 0.0


class Load(Wire):
    load1: Rate
    load5: Rate
    load15: Rate


class Memory(Wire):
    total: Bytes
    available: Bytes
    used: Bytes
    free: Bytes
    percent: Percent
    buffers: Bytes = 0
    cached: Bytes = 0
    shared: Bytes = 0
    slab: Bytes = 0


class Swap(Wire):
    total: Bytes
    used: Bytes
    free: Bytes
    percent: Percent
    in_bytes_per_s: Rate = 0.0
    out_bytes_per_s: Rate = 0.0


class Disk(Wire):
    """A mounted filesystem."""

    device: Name
    mountpoint: Annotated[str, Field(max_length=4096)]
    fstype: Name
    total: Bytes
    used: Bytes
    free: Annotated[Bytes, Field(description="Bytes an unprivileged user may still write.")]
    percent: Percent
    inodes_total: Count = 0
    inodes_used: Count = 0
    inodes_percent: Percent = 0.0
    read_only: bool = False


class DiskIo(Wire):
    """A block device: counters since boot, and rates."""

    device: Name
    read_bytes: Bytes = 0
    write_bytes: Bytes = 0
    reads: Count = 0
    writes: Count = 0
    read_bytes_per_s: Rate = 0.0
    write_bytes_per_s: Rate = 0.0
    reads_per_s: Rate = 0.0
    writes_per_s: Rate = 0.0
    utilization_percent: Percent = 0.0
    await_ms: Rate = 0.0
    queue_depth: Rate = 0.0


class NetworkInterface(Wire):
    """A network interface: counters since boot, and rates."""

    interface: Name
    bytes_sent: Bytes
    bytes_recv: Bytes
    packets_sent: Count
    packets_recv: Count
    errors_in: Count = 0
    errors_out: Count = 0
    drops_in: Count = 0
    drops_out: Count = 0
    sent_bytes_per_s: Rate = 0.0
    recv_bytes_per_s: Rate = 0.0
    sent_packets_per_s: Rate = 0.0
    recv_packets_per_s: Rate = 0.0
    errors_per_s: Rate = 0.0
    drops_per_s: Rate = 0.0
    speed_mbps: Count | None = None
    is_up: bool = True


class Pressure(Wire):
    """Pressure stall information: share of the last 10 or 60 s in which some (all) tasks waited."""

    cpu_some_avg10: Percent = 0.0
    cpu_some_avg60: Percent = 0.0
    memory_some_avg10: Percent = 0.0
    memory_some_avg60: Percent = 0.0
    memory_full_avg10: Percent = 0.0
    memory_full_avg60: Percent = 0.0
    io_some_avg10: Percent = 0.0
    io_some_avg60: Percent = 0.0
    io_full_avg10: Percent = 0.0
    io_full_avg60: Percent = 0.0


class MemoryInfo(Wire):
    rss: Bytes
    vms: Bytes


class Process(Wire):
    pid: Annotated[int, Field(ge=0, le=2**32 - 1)]
    name: Name
    status: Annotated[str, Field(max_length=32)]
    cpu_percent: Annotated[Rate, Field(description="Of one core: 250 is two and a half cores.")]
    memory_percent: Percent
    memory_info: MemoryInfo
    create_time: EpochMs
    cmdline: Annotated[list[str], Field(description="Redacted on the host, shortened to 4096 characters in all.")] = []
    username: Name = ""


class Processes(Wire):
    """Counts over all processes, details of the top few by CPU and by memory and of the newest."""

    count: Count
    running: Count = 0
    sleeping: Count = 0
    disk_sleep: Count = 0
    stopped: Count = 0
    zombie: Count = 0
    idle: Count = 0
    other: Count = 0
    threads: Count = 0
    top: list[Process] = []


class GpuDevice(Wire):
    id: Annotated[int, Field(ge=0, le=65_535)]
    name: Name
    load: Annotated[Percent, Field(description="Percent.")] = 0.0
    memory_total: Annotated[Rate, Field(description="MiB.")] = 0.0
    memory_used: Annotated[Rate, Field(description="MiB.")] = 0.0
    memory_util: Percent = 0.0
    temperature: Celsius | None = None


class Gpus(Wire):
    """``reason`` says why ``devices`` is empty; ``None`` when it is not."""

    devices: list[GpuDevice] = []
    reason: Literal["no_device", "library_missing"] | None = None


class Temperature(Wire):
    sensor: Name
    label: Name = ""
    celsius: Celsius
    high: Celsius | None = None
    critical: Celsius | None = None


class AgentState(Wire):
    """What the agent says of itself, so that gaps and costs can be explained."""

    version: Name
    interval_ms: Annotated[int, Field(ge=1, le=2**32 - 1)]
    started_at: EpochMs
    cpu_percent: Rate = 0.0
    rss_bytes: Bytes = 0
    tick_ms: Rate = 0.0
    spooled_events: Count = 0
    spooled_bytes: Bytes = 0
    dropped_events: Count = 0
    dropped: Annotated[
        dict[Annotated[str, Field(max_length=64)], Count],
        Field(max_length=32, description="The same by reason: events given up since the agent's start."),
    ] = {}
    failed_sections: dict[str, Annotated[str, Field(max_length=512)]] = {}


class HostSample(Event):
    """One host at one instant. Key = ``host_id``; ``(host_id, ts)`` is unique, as is ``event_id``."""

    kind: Literal["sample"] = "sample"
    host_id: HostId
    host: Annotated[str, Field(min_length=1, max_length=256, description="The host's name: a label, it may change.")]
    labels: Annotated[dict[str, str], Field(max_length=64)] = {}
    seq: Annotated[Count, Field(description="Counts this host's events; a gap within a run is a loss.")] = 0
    run: Annotated[
        Count, Field(description="`seq` of the first event of this run of the agent; 0 where that is not known.")
    ] = 0
    agent: AgentState | None = None
    system: System | None = None
    cpu: Cpu | None = None
    load: Load | None = None
    memory: Memory | None = None
    swap: Swap | None = None
    disks: list[Disk] | None = None
    disk_io: list[DiskIo] | None = None
    network: list[NetworkInterface] | None = None
    pressure: Pressure | None = None
    processes: Processes | None = None
    gpus: Gpus | None = None
    temperatures: list[Temperature] | None = None
