"""Ingest on a real Kafka and over HTTP to the store, every part a process of its own: how much, and after an outage.

``python -m benchmarks.throughput [ratio|outage …]``. *ratio*: events/s and CPU an event of the product's ingest with
one and two workers, beside bare aiokafka with the same insert, in one run. *outage*: the store is away for ``OUTAGE``
seconds while 1000 events/s come in. Kafka, the store and whoever sends share the machine's cores.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from benchmarks.fleet import fleet
from shared.broker.local import LocalKafka
from shared.broker.ports import two_ports
from shared.bus.kafka import admin
from shared.runtime.settings import Settings
from shared.schemas.topics import ALL_TOPICS, METRICS
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate
from shared.store.port import Store, StoreError
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized
    from multiprocessing.synchronize import Event

    _Count = Synchronized[int]

BATCH = 2000
FILLED = 60_000
WARM = 5 * BATCH
HOSTS = 200
GROUP = "lapwing-ingest"
OUTAGE = float(os.environ.get("OUTAGE", "300"))
RATE = 1000
LONG = 900.0
_CONTEXT = multiprocessing.get_context("spawn")


def main(*names: str) -> None:
    logging.disable(logging.ERROR)
    for name in names or ("ratio", "outage"):
        asyncio.run({"ratio": _ratio, "outage": _outage}[name]())


class Front:
    """``lapwing store serve`` on a directory that stays when it is killed."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self._home = home
        self.port = two_ports(home / "ports")[0]
        self.dsn = f"http://lapwing:secret@127.0.0.1:{self.port}/lapwing"
        self.process: psutil.Popen | None = None

    def start(self) -> None:
        self.process = _service(
            self._home, "store", "serve", LAPWING_STORE__PORT=str(self.port), LAPWING_STORE__WRITER_PASSWORD="secret"
        )

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


def _service(home: Path, *command: str, **settings: str) -> psutil.Popen:
    home.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LAPWING_")}
    with (home / "log").open("ab") as log:
        return psutil.Popen(
            [sys.executable, "-m", "services", *command],
            env={**kept, "LAPWING_DATA_DIR": str(home), **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@asynccontextmanager
async def _kafka(home: Path) -> AsyncIterator[str]:
    kafka = LocalKafka(home)
    await kafka.start()
    try:
        settings = Settings.model_validate({"kafka": {"bootstrap_servers": kafka.address}}).kafka
        await admin(settings).create(ALL_TOPICS)
        yield kafka.address
    finally:
        await kafka.stop()


@asynccontextmanager
async def _front(home: Path, kafka: str) -> AsyncIterator[tuple[Front, Settings, Store]]:
    """A fresh store, migrated."""
    front = Front(home)
    front.start()
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": kafka}, "clickhouse": {"dsn": front.dsn}})
    store = await eventually(lambda: _opened(settings), 60)
    try:
        await migrate(settings, store)
        yield front, settings, store
    finally:
        await store.close()
        front.kill()


async def _opened(settings: Settings) -> Store | None:
    with suppress(StoreError):
        return await open_store(settings, "benchmark")
    return None


async def _stored(store: Store) -> int:
    with suppress(StoreError):
        ((rows,),) = await store.query("SELECT count() FROM samples")
        return int(rows)
    return 0


# --- ratio -----------------------------------------------------------------------------------------------------------


async def _ratio() -> None:
    _row("4 partitions, 1 event a message", "events/s", "of bare", "worker us/event", "store us/event")
    _row("---", "---:", "---:", "---:", "---:")
    with tempfile.TemporaryDirectory() as folder:
        async with _kafka(Path(folder)) as kafka:
            filler = _CONTEXT.Process(target=_fill, args=(kafka, FILLED))
            filler.start()
            await asyncio.to_thread(filler.join)
            bare: dict[int, float] = {}
            for workers in (1, 2):
                for name, start in (("bare aiokafka + insert", _start_bare), ("lapwing ingest", _start_ingest)):
                    home = Path(folder) / f"{name.split()[0]}-{workers}"
                    rate, ours, stores = await _one(home, kafka, workers, start)
                    bare.setdefault(workers, rate)
                    what = f"{name}, {workers} worker{'s' if workers > 1 else ''}"
                    _row(what, f"{rate:.0f}", f"{rate / bare[workers]:.2f}", f"{ours:.0f}", f"{stores:.0f}")


Start = Callable[[Path, str, str, int], psutil.Process]


async def _one(home: Path, kafka: str, workers: int, start: Start) -> tuple[float, float, float]:
    """Events a second; CPU microseconds an event of the workers, and of the store."""
    await _from_the_beginning(kafka)
    async with _front(home / "store", kafka) as (front, _, store):
        assert front.process
        group = [start(home, kafka, front.dsn, number) for number in range(workers)]
        try:
            begun = await eventually(lambda: _reached(store, WARM), LONG, 0.1)
            at, used, store_used = time.perf_counter(), sum(map(_cpu, group)), _cpu(front.process)
            await eventually(lambda: _reached(store, FILLED), LONG, 0.1)
            events = FILLED - begun
            seconds = time.perf_counter() - at
            used, store_used = sum(map(_cpu, group)) - used, _cpu(front.process) - store_used
            return events / seconds, 1e6 * used / events, 1e6 * store_used / events
        finally:
            for process in group:
                process.kill()
                process.wait()


async def _reached(store: Store, events: int) -> int:
    stored = await _stored(store)
    return stored if stored >= events else 0


def _start_ingest(home: Path, kafka: str, dsn: str, number: int) -> psutil.Process:
    return _service(
        home / f"ingest-{number}", "ingest", LAPWING_KAFKA__BOOTSTRAP_SERVERS=kafka, LAPWING_CLICKHOUSE__DSN=dsn
    )


def _start_bare(home: Path, kafka: str, dsn: str, number: int) -> psutil.Process:
    return psutil.Popen([sys.executable, "-m", "benchmarks.throughput", "--bare", json.dumps([kafka, dsn])])


async def _bare(kafka: str, dsn: str) -> None:
    """What anybody would write in ten lines: read, join, insert, commit."""
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": kafka}, "clickhouse": {"dsn": dsn}})
    store = await open_store(settings, "bare")
    consumer = AIOKafkaConsumer(
        METRICS.name, bootstrap_servers=kafka, group_id=GROUP, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    waiting: list[bytes] = []
    while True:
        found = await consumer.getmany(timeout_ms=500, max_records=BATCH - len(waiting))
        waiting += [message.value for messages in found.values() for message in messages]
        if len(waiting) == BATCH or (waiting and not found):
            await store.insert_lines("landing_metrics", b"\n".join(waiting))
            await consumer.commit()
            waiting.clear()


async def _from_the_beginning(kafka: str) -> None:
    """The group forgets what it has read; nobody may be in it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    partitions = [TopicPartition(METRICS.name, number) for number in range(Settings().kafka.partitions)]
    consumer.assign(partitions)
    await eventually(lambda: _committed(consumer, partitions), 60, 0.1)
    await consumer.stop()


async def _committed(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> bool:
    with suppress(KafkaError):  # members that were killed are still believed to live, for a session's length
        await consumer.commit(dict.fromkeys(partitions, 0))
        return True
    return False


def _fill(kafka: str, events: int) -> None:
    asyncio.run(_filling(kafka, events))


async def _filling(kafka: str, events: int) -> None:
    out = AIOKafkaProducer(bootstrap_servers=kafka, compression_type="zstd", linger_ms=50)
    await out.start()
    seconds = events // HOSTS
    for number, line in enumerate(fleet(HOSTS, seconds, (int(time.time()) - seconds) * 1000)):
        await out.send(METRICS.name, line, key=str(number % HOSTS).encode())
    await out.stop()


# --- outage ----------------------------------------------------------------------------------------------------------


async def _outage() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with _kafka(home) as kafka, _front(home / "store", kafka) as (front, settings, store):
            ingest = _start_ingest(home, kafka, front.dsn, 0)
            sender = Sender(kafka)
            try:
                await _follow(front, settings, store, ingest, sender)
            finally:
                sender.kill()
                ingest.kill()
                ingest.wait()


class Sender:
    """``RATE`` hosts in a process of their own, an event a second each."""

    def __init__(self, kafka: str) -> None:
        self._sent, self._ending = _CONTEXT.Value("q", 0), _CONTEXT.Event()
        self._process = _CONTEXT.Process(target=_send, args=(kafka, self._sent, self._ending), daemon=True)
        self._process.start()

    @property
    def sent(self) -> int:
        """Events the broker has confirmed."""
        return int(self._sent.value)

    async def end(self) -> None:
        self._ending.set()
        await asyncio.to_thread(self._process.join)

    def kill(self) -> None:
        self._process.kill()


async def _follow(front: Front, settings: Settings, store: Store, ingest: psutil.Process, sender: Sender) -> None:
    async def behind(asked: Store) -> int:
        return sender.sent - await _stored(asked)

    await eventually(lambda: _reached(store, 10 * RATE), LONG, 0.1)
    usual = 0
    for _ in range(100):
        usual = max(usual, await behind(store))
        await asyncio.sleep(0.2)
    _row(f"{RATE} events/s", "")
    _row("---", "---:")
    _row("behind, usually at most", f"{usual} events")
    _row("ingest's memory before", f"{_memory(ingest):.0f} MB")
    front.kill()
    await asyncio.sleep(OUTAGE)
    _row(f"after {OUTAGE:g} s without a store", f"{_memory(ingest):.0f} MB")
    front.start()
    back = await eventually(lambda: _opened(settings), 60)
    began, first, waiting = time.perf_counter(), await _stored(back), await behind(back)
    _row("waiting", f"{waiting} events")
    most = _memory(ingest)

    async def caught_up() -> bool:
        nonlocal most
        most = max(most, _memory(ingest))
        return await behind(back) <= usual

    await eventually(caught_up, LONG, 0.1)
    seconds = time.perf_counter() - began
    _row("caught up after the store answered", f"{seconds:.0f} s")
    _row("events/s meanwhile", f"{(await _stored(back) - first) / seconds:.0f}")
    _row("ingest's memory at most", f"{most:.0f} MB")
    await sender.end()

    async def everything() -> bool:
        return await behind(back) <= 0

    with suppress(AssertionError):
        await eventually(everything, 60, 0.1)
    ((kept,),) = await back.query("SELECT count() FROM samples FINAL")
    _row("sent, stored once", f"{sender.sent}, {kept}")
    await back.close()


def _send(kafka: str, sent: _Count, ending: Event) -> None:
    asyncio.run(_sending(kafka, sent, ending))


async def _sending(kafka: str, sent: _Count, ending: Event) -> None:
    out = AIOKafkaProducer(bootstrap_servers=kafka, compression_type="zstd", linger_ms=50)
    await out.start()
    began = time.time()
    lines = fleet(RATE, 10**6, int(began) * 1000)
    while not ending.is_set():
        pending = [await out.send(METRICS.name, next(lines), key=str(host).encode()) for host in range(RATE)]
        await asyncio.gather(*pending)
        sent.value += RATE
        await asyncio.sleep(max(0.0, began + sent.value / RATE - time.time()))
    await out.stop()


def _memory(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 1e6)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _row(*cells: object) -> None:
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare"]:
        logging.disable(logging.ERROR)
        asyncio.run(_bare(*json.loads(sys.argv[2])))
    else:
        main(*sys.argv[1:])
