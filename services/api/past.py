"""A host's state at an instant, out of the store, in the same shape in which the topics bring it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from services.api.live import Reading
from services.api.queries import Queries
from services.api.statements import statement
from shared.schemas import sample
from shared.schemas.codec import twin

NEAR_MS = 3_600_000
"""A reading is looked for in the hour before the instant, and further back only when there is none."""

_System, _Cpu, _Freq, _Load = twin(sample.System), twin(sample.Cpu), twin(sample.CpuFrequency), twin(sample.Load)
_Memory, _Disk, _Interface = twin(sample.Memory), twin(sample.Disk), twin(sample.NetworkInterface)
_Process, _MemoryInfo, _Processes = twin(sample.Process), twin(sample.MemoryInfo), twin(sample.Processes)
_Gpu, _Gpus, _Agent = twin(sample.GpuDevice), twin(sample.Gpus), twin(sample.AgentState)

_SCALARS = frozenset({"cpu", "load", "memory"})
_COLUMNS = {
    "disks": "device, mountpoint, fstype, total, used, free, percent",
    "network": "interface, bytes_sent, bytes_recv, packets_sent, packets_recv",
    "gpus": "id, name, load, memory_total, memory_used, memory_util, temperature, reason",
}
_NO_GPU = 65_535


class Past:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def sections(self, host_id: str, at_ms: int, wanted: frozenset[str]) -> dict[str, Reading]:
        """The newest reading of each section at or before ``at_ms``; what there is none of is left out.

        Raises ``ApiError`` 503.
        """
        found = await self._within(host_id, at_ms, wanted, at_ms - NEAR_MS)
        missing = wanted - found.keys()
        if missing:
            found |= await self._within(host_id, at_ms, missing, 0)
        return found

    async def _within(self, host_id: str, at_ms: int, wanted: frozenset[str], since: int) -> dict[str, Reading]:
        span = {"host": host_id, "at": at_ms, "since": max(0, since)}
        questions: list[Coroutine[Any, Any, dict[str, Reading]]] = []
        if wanted & _SCALARS or "processes" in wanted:
            questions.append(self._scalars(span, wanted))
        questions += [self._list(span, name) for name in _COLUMNS if name in wanted]
        if wanted & {"system", "agent"}:
            questions.append(self._system(span))
        found: dict[str, Reading] = {}
        for part in await asyncio.gather(*questions):
            found |= part
        return {name: reading for name, reading in found.items() if name in wanted}

    async def _list(self, span: dict[str, Any], name: str) -> dict[str, Reading]:
        rows = await self._queries.rows(statement("then_rows", table=name, columns=_COLUMNS[name]), span)
        return {name: Reading(rows[0][0], _BUILD[name](rows))} if rows else {}

    async def _system(self, span: dict[str, Any]) -> dict[str, Reading]:
        rows = await self._queries.rows(statement("then_system"), span)
        return _system(rows[0]) if rows else {}

    async def _scalars(self, span: dict[str, Any], wanted: frozenset[str]) -> dict[str, Reading]:
        (row,) = await self._queries.rows(statement("then_scalars"), span)
        cpu_ts, cpu, load_ts, load, memory_ts, memory, processes_ts, count = row
        found: dict[str, Reading] = {}
        if cpu_ts > 0:
            cores, percent, current, low, high = cpu
            freq = _Freq(current=current, min=low, max=high)
            found["cpu"] = Reading(cpu_ts, _Cpu(count=cores, percent=percent / 10, freq=freq))
        if load_ts > 0:
            found["load"] = Reading(load_ts, _Load(load1=load[0] / 100, load5=load[1] / 100, load15=load[2] / 100))
        if memory_ts > 0:
            total, available, used, free, percent = memory
            value = _Memory(total=total, available=available, used=used, free=free, percent=percent / 10)
            found["memory"] = Reading(memory_ts, value)
        if processes_ts > 0 and "processes" in wanted:
            rows = await self._queries.rows(statement("then_processes"), {"host": span["host"], "at": processes_ts})
            found["processes"] = Reading(processes_ts, _Processes(count=count, top=[_process(r) for r in rows]))
        return found


def _system(row: Sequence[Any]) -> dict[str, Reading]:
    ts, hostname, platform, architecture, boot_time, kernel, os, version, interval_ms, started_at = row
    system = _System(
        hostname=hostname, platform=platform, architecture=architecture, boot_time=boot_time, kernel=kernel, os=os
    )
    return {"system": Reading(ts, system), "agent": Reading(ts, agent_state(version, interval_ms, started_at))}


def agent_state(version: str, interval_ms: int, started_at: int) -> Any:
    """What the store keeps of an agent's word about itself."""
    return _Agent(version=version, interval_ms=max(1, interval_ms), started_at=max(0, started_at))


def _process(row: Sequence[Any]) -> Any:
    pid, name, status, cpu, memory, rss, vms, create_time, cmdline, username = row
    return _Process(
        pid=pid,
        name=name,
        status=status,
        cpu_percent=cpu / 10,
        memory_percent=memory / 100,
        memory_info=_MemoryInfo(rss=rss, vms=vms),
        create_time=create_time,
        cmdline=list(cmdline),
        username=username,
    )


def _disks(rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [
        _Disk(device=d, mountpoint=m, fstype=f, total=total, used=used, free=free, percent=percent / 10)
        for _, d, m, f, total, used, free, percent in sorted(rows, key=lambda r: r[2])
    ]


def _network(rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [
        _Interface(interface=name, bytes_sent=sent, bytes_recv=received, packets_sent=out, packets_recv=into)
        for _, name, sent, received, out, into in sorted(rows, key=lambda r: r[1])
    ]


def _gpus(rows: Sequence[Sequence[Any]]) -> Any:
    devices = [
        _Gpu(
            id=number,
            name=name,
            load=load / 10,
            memory_total=float(total),
            memory_used=float(used),
            memory_util=util / 10,
            temperature=None if celsius is None else celsius / 10,
        )
        for _, number, name, load, total, used, util, celsius, _ in sorted(rows, key=lambda r: r[1])
        if number != _NO_GPU
    ]
    return _Gpus(devices=devices, reason=None if devices else rows[0][8] or "no_device")


_BUILD = {"disks": _disks, "network": _network, "gpus": _gpus}
