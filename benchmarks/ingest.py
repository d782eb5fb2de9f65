"""What it costs to keep an event: the whole path from the Kafka protocol through Faust into chDB, and its parts.

``python -m benchmarks.ingest [path|parts|once|day|idle …] [share of the usual size]`` prints tables; CPU is this
process's own, broker included where it says so. Targets: 150 us an event with one a message, 85 with
five, 1.4 bytes a stored sample.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import psutil
from aiokafka import AIOKafkaProducer

from benchmarks.fleet import fleet, numbers_in
from services.ingest.gate import Gate
from services.ingest.ledger import store_notes
from services.ingest.rollups import Rollups
from services.ingest.service import build
from services.ingest.writer import write
from shared.broker.embedded import EmbeddedBroker
from shared.bus.port import Message
from shared.runtime import selfmetrics
from shared.runtime.clock import ManualClock, SystemClock
from shared.runtime.settings import ClickhouseSettings, Settings
from shared.schemas.base import DAY_MS
from shared.schemas.sample import HostSample
from shared.schemas.topics import ALL_TOPICS, METRICS
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate
from shared.store.port import Store

BATCH = 2000
HOSTS = 200
PARTITIONS = 8  # the embedded broker keeps 5 MB in each
TABLES = ("samples", "network", "disk_io", "processes", "disks", "gpus", "temperatures", "systems")


def main(*names: str, share: float = 1.0) -> None:
    for name in names or PARTS:
        # Each in a process of its own: chDB is one engine a process, and what one leaves behind is not the next one's.
        process = multiprocessing.get_context("spawn").Process(target=_run, args=(name, share))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(process.exitcode)


def _run(name: str, share: float) -> None:
    logging.disable(logging.ERROR)
    asyncio.run(PARTS[name](share))


def _of(usual: int, share: float, least: int = 1) -> int:
    return max(least, round(usual * share))


def _today() -> int:
    """Midnight, so that generated seconds are of one day and never in the future for long."""
    return int(time.time()) // 86_400 * 86_400_000


@asynccontextmanager
async def _store() -> AsyncIterator[tuple[Settings, Store]]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        store = await open_store(settings, "benchmark")
        await migrate(settings, store)
        try:
            yield settings, store
        finally:
            await store.close()


def _row(*cells: object) -> None:
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)


def _cpu() -> float:
    return time.process_time()


async def _parts(share: float) -> None:
    """Gate, insert and rollups by themselves."""
    _row("part", "CPU us an event", "note")
    _row("---", "---:", "---")
    lines = list(fleet(HOSTS, _of(100, share), _today()))
    mean = sum(map(len, lines)) / len(lines)
    gate = Gate((HostSample,), HostSample, max_future_ms=DAY_MS, max_age_ms=10 * DAY_MS)
    for pack in (1, 5):
        values = [b"\n".join(lines[i : i + pack]) for i in range(0, len(lines), pack)]
        batch = [Message(METRICS.name, 0, n, b"h", value, 0) for n, value in enumerate(values)]
        began = _cpu()
        gate.sort(batch, _today())
        _row(f"gate, {pack} a message", f"{1e6 * (_cpu() - began) / len(lines):.1f}", f"{mean:.0f} bytes an event")
    async with _store() as (_, store):
        for size in (2, *(_of(most, share) for most in (200, 2000, 5000))):
            portions = _portions(lines, size, _of(40 if size == 2 else 10, share, 3))
            await store.insert_lines("landing_metrics", portions[0])
            began = _cpu()
            for portion in portions:
                await store.insert_lines("landing_metrics", portion)
            each = (_cpu() - began) / len(portions)
            _row(f"insert, {size} at once", f"{1e6 * each / size:.1f}", f"{1e3 * each:.0f} ms an insert")
    async with _store() as (_, store):
        hosts, minutes = _of(300, share), 4
        start = _today()
        for portion in _batches(fleet(hosts, 60 * minutes, start), BATCH):
            await store.insert_lines("landing_metrics", portion)
        names = {f"{n + 1:08x}5a69788796a5b4c3d2e1f001" for n in range(hosts)}
        rollups = Rollups(store, ManualClock(start + 3_600_000), max_age_ms=14 * DAY_MS)
        began = _cpu()
        for minute in range(minutes):
            rollups.touch("samples", {start // 60_000 + minute: names})
            await rollups.round()
        _row(
            "rollups, minute and open hour", f"{1e6 * (_cpu() - began) / (hosts * 60 * minutes):.1f}", f"{hosts} hosts"
        )


def _portions(lines: Sequence[bytes], size: int, most: int) -> list[bytes]:
    return [b"\n".join(lines[i : i + size]) for i in range(0, len(lines), size)][:most]


def _batches(lines: Iterator[bytes], size: int) -> Iterator[bytes]:
    while batch := list(itertools.islice(lines, size)):
        yield b"\n".join(batch)


async def _path(share: float) -> None:
    """Producer and broker in a process of their own; here are Faust, the gate, chDB and nothing else."""
    _row("whole path", "CPU us an event", "events/s a core", "events")
    _row("---", "---:", "---:", "---:")
    _row("(the gate alone, to compare machines by)", f"{_gate_cost(share):.1f}", "", "")
    # One folder for both: on some filesystems what was just deleted makes new files dear.
    with tempfile.TemporaryDirectory() as folder:
        for pack in (1, 5):
            await _one_path(pack, _of(12, share, 3), _of(BATCH, share, HOSTS * pack), Path(folder) / str(pack))


def _gate_cost(share: float) -> float:
    gate = Gate((HostSample,), HostSample, max_future_ms=DAY_MS, max_age_ms=10 * DAY_MS)
    lines = fleet(HOSTS, _of(50, share), _today())
    batch = [Message(METRICS.name, 0, n, b"h", line, 0) for n, line in enumerate(lines)]
    began = _cpu()
    gate.sort(batch, _today())
    return 1e6 * (_cpu() - began) / len(batch)


async def _one_path(pack: int, batches: int, batch: int, folder: Path) -> None:
    events = batches * batch
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    producer = context.Process(target=_produce, args=(theirs, pack, events), daemon=True)
    producer.start()
    address: str = await asyncio.to_thread(ours.recv)
    settings = Settings.model_validate(
        {
            "data_dir": folder,
            "kafka": {"bootstrap_servers": address},
            "ingest": {"batch_events": batch // pack, "batch_seconds": 10},
        }
    )
    store = await open_store(settings, "benchmark")
    await migrate(settings, store)
    service = build(settings, clock=ManualClock(_today() + DAY_MS))
    before = selfmetrics.INGEST_EVENTS.value("landing_metrics")
    # The broker is full before anything is read: a fleet that waits is what a core's worth is asked for.
    await asyncio.to_thread(ours.recv)
    await service.start()
    stored = await _until_stored(before + 2 * batch) - before
    began = _cpu()
    await _until_stored(before + events)
    used = _cpu() - began
    counted = round(events - stored)
    what = f"{pack} a message, {batch} events a batch"
    _row(what, f"{1e6 * used / counted:.0f}", f"{counted / used:.0f}", counted)
    await service.stop()
    await store.close()
    ours.send("end")
    await asyncio.to_thread(producer.join)


async def _until_stored(events: float) -> float:
    while (stored := selfmetrics.INGEST_EVENTS.value("landing_metrics")) < events:
        await asyncio.sleep(0.02)
    return stored


def _produce(pipe: Connection, pack: int, events: int) -> None:
    asyncio.run(_producing(pipe, pack, events))


async def _producing(pipe: Connection, pack: int, events: int) -> None:
    """The broker, and who fills it; it ends when something comes through ``pipe``."""
    broker = EmbeddedBroker(ALL_TOPICS, partitions=PARTITIONS)
    pipe.send(broker.address)
    out = AIOKafkaProducer(bootstrap_servers=broker.address, compression_type="zstd", linger_ms=50)
    await out.start()
    # Of now: what is late is noted in the ledger besides.
    lines = fleet(HOSTS, 10**6, int(time.time()) * 1000)
    for _ in range(events // HOSTS // pack):
        # A round of the fleet is a line of each host: `pack` rounds make one message of each.
        rounds = [[next(lines) for _ in range(HOSTS)] for _ in range(pack)]
        for host, message in enumerate(zip(*rounds, strict=True)):
            await out.send(METRICS.name, b"\n".join(message), key=str(host).encode())
    await out.stop()
    pipe.send("full")
    await asyncio.to_thread(pipe.recv)
    broker.close()


async def _day(share: float) -> None:
    """Bytes a stored sample: two hosts for a day, one event a second each, all parts merged."""
    hosts, seconds = 2, _of(86_400, share)
    async with _store() as (_, store):
        samples = events = 0
        lines = fleet(hosts, seconds, _today() - DAY_MS)
        while batch := list(itertools.islice(lines, 5000)):
            events += len(batch)
            # A stride that meets every host and every interval alike; less the version, the time and the count.
            some = batch[::7]
            samples += sum(numbers_in(msgspec.json.decode(line)) - 3 for line in some) * len(batch) // len(some)
            await store.insert_lines("landing_metrics", b"\n".join(batch))
        for table in TABLES:
            await store.command(f"OPTIMIZE TABLE {table} FINAL")
        sizes = dict(
            await store.query(
                "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() "
                "GROUP BY table"
            )
        )
        _row("table", "bytes an event", "bytes a sample")
        _row("---", "---:", "---:")
        for table in TABLES:
            _row(table, f"{sizes[table] / events:.1f}", f"{sizes[table] / samples:.3f}")
        total = sum(sizes[table] for table in TABLES)
        _row("all", f"{total / events:.1f}", f"{total / samples:.3f}")
        _row("samples an event", f"{samples / events:.0f}", "")


async def _idle(share: float) -> None:
    """One host, one event a second, through the embedded broker in this process: what ingest and the store cost."""
    _row("one host, 1 event/s", "CPU % of a core", "RSS MB")
    _row("---", "---:", "---:")
    with tempfile.TemporaryDirectory() as folder:
        broker = EmbeddedBroker(ALL_TOPICS, partitions=4)
        settings = Settings.model_validate({"data_dir": folder, "kafka": {"bootstrap_servers": broker.address}})
        store = await open_store(settings, "benchmark")
        await migrate(settings, store)
        service = build(settings, clock=SystemClock())
        await service.start()
        out = AIOKafkaProducer(bootstrap_servers=broker.address, compression_type="zstd")
        await out.start()
        lines = fleet(1, 10**6, int(time.time()) * 1000)
        process = psutil.Process(os.getpid())
        for seconds in (_of(15, share), _of(120, share)):
            began, used = time.perf_counter(), process.cpu_times()
            for _ in range(seconds):
                await out.send(METRICS.name, next(lines), key=b"h")
                await asyncio.sleep(1)
            now = process.cpu_times()
            share = (now.user + now.system - used.user - used.system) / (time.perf_counter() - began)
        what = f"ingest, store and broker, an insert each {settings.ingest.batch_seconds:g} s"
        _row(what, f"{100 * share:.1f}", f"{process.memory_info().rss / 1e6:.0f}")
        await service.stop()
        await out.stop()
        await store.close()
        broker.close()


async def _once(share: float) -> None:
    """What it costs that every event counts once: keys that make repeats one, touched minutes, the ledger's notes;
    beside the same inserts into the same tables without any of it, by turns, merges included.
    """
    size = _of(BATCH, share)
    lines = list(itertools.islice(fleet(HOSTS, 400, _today()), _of(40, share, 6) * size))
    batches = [
        [Message(METRICS.name, 0, n, b"h", line, _today() + n // HOSTS * 1000) for n, line in enumerate(some, at)]
        for at, some in ((at, lines[at : at + size]) for at in range(0, len(lines), size))
    ]
    async with _store() as (settings, store):
        plain = await _without_keys(settings, store)
        clock = ManualClock(_today() + DAY_MS)
        rollups = Rollups(store, clock, max_age_ms=14 * DAY_MS)
        gates = [
            Gate((HostSample,), HostSample, max_future_ms=DAY_MS, max_age_ms=10 * DAY_MS, ledger=ledger)
            for ledger in (True, False)
        ]
        used = [0.0, 0.0]
        for number, batch in enumerate(batches):
            for which in (number % 2, 1 - number % 2):
                began = _cpu()
                out = gates[which].sort(batch, clock.now_ms())
                for day in out.days.values():
                    await write(plain if which else store, "landing_metrics", day)
                if not which:
                    await store_notes(store, out.notes, [])
                    rollups.touch("samples", out.touched)
                await _merged(store)
                if number >= 4:
                    used[which] += _cpu() - began
        await plain.close()
    events = size * (len(batches) - 4)
    _row(f"{size} events a batch", "CPU us an event", "of plain")
    _row("---", "---:", "---:")
    for name, cpu in (("plain tables, no ledger", used[1]), ("as it is", used[0])):
        _row(name, f"{1e6 * cpu / events:.1f}", f"{cpu / used[1]:.3f}")


async def _without_keys(settings: Settings, store: Store) -> Store:
    """A database with the tables of samples as they would be if nothing ever came twice."""
    dsn = f"chdb://{settings.data_dir}/clickhouse?database=plain"
    plain = await open_store(settings.model_copy(update={"clickhouse": ClickhouseSettings(dsn=dsn)}), "plain")
    made = await store.query(
        "SELECT create_table_query FROM system.tables "
        "WHERE database = currentDatabase() AND NOT startsWith(name, 'v_') ORDER BY engine = 'MaterializedView'"
    )
    for (statement,) in made:
        await plain.command(
            re.sub(r"ReplacingMergeTree(\([^)]*\))?", "MergeTree", statement.replace("lapwing.", "plain."))
        )
    return plain


async def _merged(store: Store) -> None:
    while (await store.query("SELECT count() FROM system.merges"))[0][0]:
        await asyncio.sleep(0.02)


PARTS = {"path": _path, "parts": _parts, "once": _once, "day": _day, "idle": _idle}

if __name__ == "__main__":
    main(*(a for a in sys.argv[1:] if a in PARTS), share=next((float(a) for a in sys.argv[1:] if a not in PARTS), 1.0))
