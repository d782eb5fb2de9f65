"""Whole samples out of the store, of several hosts, in order of time: what the detector saw, as far as it is kept.

Values are rounded as they are stored; devices and processes come in order of their names and numbers, not as the agent
named them; a list that was empty looks like one that was not sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from services.detector.judge import Host
from services.history.statements import statement
from shared.schemas import sample as wire
from shared.schemas.codec import twin
from shared.schemas.sample import HostSample
from shared.store.port import Store

AT_ONCE = 20_000
"""Samples in memory, where each host sends one a second."""
SHORTEST_MS, LONGEST_MS = 60_000, 2 * 3_600_000
_HOUR_MS = 3_600_000

_Sample, _Cpu, _Modes, _Load = twin(HostSample), twin(wire.Cpu), twin(wire.CpuModes), twin(wire.Load)
_Memory, _Swap, _Pressure, _Processes = twin(wire.Memory), twin(wire.Swap), twin(wire.Pressure), twin(wire.Processes)
_System, _Gpus, _MemoryInfo, _Process = twin(wire.System), twin(wire.Gpus), twin(wire.MemoryInfo), twin(wire.Process)

Fields = dict[str, Any]


@dataclass(frozen=True)
class _Listed:
    """A section that is a list: fields of its entries, and the columns they are in where these are others."""

    table: str
    entry: type
    columns: dict[str, str]

    @property
    def selected(self) -> str:
        return ", ".join(self.columns.values())

    def entries(self, values: Sequence[Any]) -> Any:
        return self.entry(**dict(zip(self.columns, values, strict=True)))


def _listed(table: str, model: Any, **scaled: str) -> _Listed:
    return _Listed(table, twin(model), {name: scaled.get(name, name) for name in model.model_fields})


_DISKS = _listed("disks", wire.Disk, percent="percent / 10", inodes_percent="inodes_percent / 10")
_DISK_IO = _listed(
    "disk_io",
    wire.DiskIo,
    reads_per_s="reads_per_s / 10",
    writes_per_s="writes_per_s / 10",
    utilization_percent="utilization_percent / 10",
    await_ms="await_ms / 100",
    queue_depth="queue_depth / 100",
)
_NETWORK = _listed(
    "network",
    wire.NetworkInterface,
    sent_packets_per_s="sent_packets_per_s / 10",
    recv_packets_per_s="recv_packets_per_s / 10",
    errors_per_s="errors_per_s / 100",
    drops_per_s="drops_per_s / 100",
)
_TEMPERATURES = _listed(
    "temperatures", wire.Temperature, celsius="celsius / 10", high="high / 10", critical="critical / 10"
)
_GPUS = _listed(
    "gpus",
    wire.GpuDevice,
    load="load / 10",
    memory_util="memory_util / 10",
    temperature="temperature / 10",
)
_LISTS = {"disks": _DISKS, "disk_io": _DISK_IO, "network": _NETWORK, "temperatures": _TEMPERATURES}
_ORDER = {"disks": "mountpoint", "disk_io": "device", "network": "interface", "temperatures": "sensor, label"}

_MODES = tuple(wire.CpuModes.model_fields)
_PRESSURES = tuple(wire.Pressure.model_fields)
_COUNTS = tuple(name for name in wire.Processes.model_fields if name != "top")
_MEMORY = tuple(name for name in wire.Memory.model_fields if name != "percent")
_SAMPLES = ", ".join(
    [
        "seq, sections, cpu_count, cpu_percent / 10, cpu_load1 / 100, cpu_load5 / 100, cpu_load15 / 100",
        *(f"cpu_{mode} / 10" for mode in _MODES),
        "memory_percent / 10",
        *(f"memory_{name}_bytes" for name in _MEMORY),
        "swap_total_bytes, swap_used_bytes, swap_free_bytes, swap_percent / 10",
        "swap_in_bytes_per_s, swap_out_bytes_per_s",
        *(f"pressure_{name} / 100" for name in _PRESSURES),
        *(f"processes_{name}" for name in _COUNTS),
    ]
)
_TOP = (
    "pid, name, status, cpu_percent / 10, memory_percent / 100, rss, vms, toUnixTimestamp64Milli(create_time), "
    "cmdline, username"
)


async def samples(store: Store, hosts: Sequence[Host], start_ms: int, end_ms: int) -> AsyncIterator[list[HostSample]]:
    """Piece by piece; ``end_ms`` is not part of it. Raises ``StoreError``."""
    by_id = {host.host_id: host for host in hosts}
    step = min(LONGEST_MS, max(SHORTEST_MS, AT_ONCE * 1000 // max(1, len(by_id))))
    for at in range(start_ms, end_ms, step):
        yield await _piece(store, by_id, at, min(at + step, end_ms))


async def _piece(store: Store, hosts: dict[str, Host], start_ms: int, end_ms: int) -> list[HostSample]:
    rows = partial(_rows, store, list(hosts), start_ms, end_ms)
    found: dict[tuple[int, str], Fields] = {}
    tops: dict[tuple[int, str], list[Any]] = {}
    for host_id, at, *values in await rows("processes", _TOP, "pid"):
        tops.setdefault((at, host_id), []).append(_process(values))
    for host_id, at, *values in await rows("samples", _SAMPLES, "seq"):
        found[at, host_id] = _scalars(values, tops.get((at, host_id), []))
    for name, section in _LISTS.items():
        for host_id, at, *values in await rows(section.table, section.selected, _ORDER[name]):
            if (fields := found.get((at, host_id))) is not None:
                fields.setdefault(name, []).append(section.entries(values))
    for host_id, at, *values in await rows("gpus", f"{_GPUS.selected}, reason", "id"):
        if (fields := found.get((at, host_id))) is not None:
            _gpu(fields, values)
    for host_id, at, boot in await rows("systems", "toUnixTimestamp64Milli(boot_time)", "at"):
        if (fields := found.get((at, host_id))) is not None:
            fields["system"] = _System(hostname="", platform="", architecture="", boot_time=boot)
    return [_sample(hosts[host_id], at, fields) for (at, host_id), fields in sorted(found.items(), key=lambda e: e[0])]


async def _rows(
    store: Store, hosts: list[str], start_ms: int, end_ms: int, table: str, columns: str, order: str
) -> Iterable[tuple[Any, ...]]:
    return await store.query(
        statement("whole", table=table, columns=columns, order=order),
        {
            "hosts": hosts,
            "from": start_ms,
            "to": end_ms,
            "first_hour": start_ms // _HOUR_MS * 3600,
            "last_hour": (end_ms - 1) // _HOUR_MS * 3600,
        },
    )


def _sample(host: Host, ts_ms: int, fields: Fields) -> HostSample:
    made = _Sample(
        schema_version=1,
        event_id=f"{host.host_id}-{ts_ms}",
        ts=ts_ms,
        host_id=host.host_id,
        host=host.name,
        labels=dict(host.labels),
        **fields,
    )
    return cast(HostSample, made)  # twins are no instances of the models


def _scalars(row: Sequence[Any], top: list[Any]) -> Fields:
    """The sections of a row of ``samples``; which of them there were, its bits say."""
    values = iter(row)
    seq, bits, cores, busy, *loads = (next(values) for _ in range(7))
    modes = {name: next(values) for name in _MODES}
    memory = {"percent": next(values), **{name: next(values) for name in _MEMORY}}
    swap = {name: next(values) for name in wire.Swap.model_fields}
    pressure = {name: next(values) for name in _PRESSURES}
    counts = {name: next(values) for name in _COUNTS}
    fields: Fields = {"seq": seq}
    if bits & 1:
        fields["cpu"] = _Cpu(count=cores, percent=busy, modes=_Modes(**modes))
    if bits & 2:
        fields["load"] = _Load(load1=loads[0], load5=loads[1], load15=loads[2])
    if bits & 4:
        fields["memory"] = _Memory(**memory)
    if bits & 8:
        fields["swap"] = _Swap(**swap)
    if bits & 16:
        fields["pressure"] = _Pressure(**pressure)
    if bits & 32:
        fields["processes"] = _Processes(**counts, top=top)
    return fields


def _process(row: Sequence[Any]) -> Any:
    pid, name, status, cpu, memory, rss, vms, create_time, cmdline, username = row
    return _Process(
        pid=pid,
        name=name,
        status=status,
        cpu_percent=cpu,
        memory_percent=memory,
        memory_info=_MemoryInfo(rss=rss, vms=vms),
        create_time=create_time,
        cmdline=list(cmdline),
        username=username,
    )


def _gpu(fields: Fields, row: Sequence[Any]) -> None:
    *values, reason = row
    if reason:
        fields["gpus"] = _Gpus(reason=reason)
    else:
        before = fields["gpus"].devices if "gpus" in fields else []
        fields["gpus"] = _Gpus(devices=[*before, _GPUS.entries(values)])
