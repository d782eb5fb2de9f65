"""The one place that knows everybody: which parts make which process, and in which order they start.

Small and large installations differ here in one branch only: ``embedded://`` and ``local://`` put a broker into or
under the process and rewrite its address (``chdb://`` is the store driver's business). Services are imported when
asked for, so that an agent never loads a database.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.kafka_users.rights import topics_of
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.data_dir import DataDir
from shared.runtime.health import Health
from shared.runtime.lifecycle import Service, ServiceDied
from shared.runtime.pulse import Pulse
from shared.runtime.retry import backoff
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.topics import ALL_TOPICS, Topic

if TYPE_CHECKING:
    from shared.bus.port import Receipt
    from shared.store.port import Store

log = logging.getLogger(__name__)

SERVICES = ("api", "ingest", "detector", "alerter", "agent")
"""In the order in which they start: who reads is there before who writes."""

NEEDS_STORE = {"ingest", "api"}

STORE_FRONT = "store front"

ONE_TRY = 5.0  # seconds that all wait for a broker that does not answer


@dataclass(frozen=True)
class Product:
    """What one process runs: ``parts`` start from the left and stop from the right."""

    settings: Settings
    parts: list[Service]
    health: Health

    def part(self, name: str) -> Any:
        """The part of that name. Raises ``StopIteration`` where this process has none."""
        return next(p for p in self.parts if p.name == name)


def build(settings: Settings, names: Sequence[str] = SERVICES, *, clock: Clock | None = None) -> Product:
    """The parts of a process that runs ``names``, with its data directory claimed.

    Raises ``SettingsError`` where they cannot run together, ``DataDirError`` where the directory cannot be had,
    ``ServiceDied`` where there is no broker to be had, ``BusError`` and ``StoreError`` on settings of theirs.
    """
    clock = clock or SystemClock()
    health = Health()
    data_dir = DataDir(settings.data_dir)
    parts: list[Service] = [_Claim(data_dir)]
    if list(names) == [STORE_FRONT]:
        data_dir.claim(names)
        return Product(settings, [*parts, *_served(settings, [_Schema(settings)])], health)
    kind = settings.kafka.bootstrap_servers
    if set(names) == {"agent"} and settings.agent.url:
        data_dir.claim(names)
        kind = settings.agent.url  # it posts, and needs no broker
    elif kind in OWN_BROKERS:
        if set(names) != set(SERVICES):
            raise SettingsError(
                f"LAPWING_KAFKA__BOOTSTRAP_SERVERS: `{kind}` lives inside `lapwing up`; "
                f"to run {', '.join(names)} alone, name a broker as `host:port`"
            )
        data_dir.claim((*names, "broker"))
        try:
            settings, broker = OWN_BROKERS[kind](settings)
        except RuntimeError as error:
            raise ServiceDied("broker", error) from None
        parts.append(broker)
    else:
        data_dir.claim(names)
    parts += _measured(settings, names, health)
    topics = _Topics(settings, topics_of(names)) if kind != "embedded://" and set(names) - {"agent"} else None
    if topics:
        parts.append(topics)
    if NEEDS_STORE & set(names):
        parts.append(_Schema(settings))
    if kind == "embedded://":
        parts.append(_Settled(parts))
    for name in SERVICES:
        if name in names:
            if topics and name not in ("api", "agent"):
                parts.append(_TopicsThere(topics))
                topics = None
            room = importlib.import_module(f"services.{name}.service")
            more = _owed(name, settings, clock, parts) if kind == "embedded://" else {}
            if name == "alerter" and ("ingest" in names or settings.clickhouse.dsn.startswith("http")):
                more |= _evidence(settings)  # an embedded store is open to its own process only
            parts.append(room.build(settings, clock=clock, health=health, **more))
    parts.append(Pulse(health, settings.data_dir, names))
    if settings.store.beside_up and set(names) == set(SERVICES) and settings.clickhouse.dsn.startswith("chdb:"):
        claim, *others = parts
        parts = [claim, *_served(settings, others)]
    return Product(settings, parts, health)


def _measured(settings: Settings, names: Sequence[str], health: Health) -> list[Service]:
    """The port for its own metrics, which is there while it still waits for others; with the API they are the API's."""
    port = settings.metrics.port
    if port is None or "api" in names:
        return []
    from shared.runtime.own_metrics import MEASURED, MetricsPort

    above = [number for number, name in enumerate(MEASURED) if name in names][:1]
    return [MetricsPort(health, settings.metrics.host, port + number if port else 0) for number in above]


def _owed(name: str, settings: Settings, clock: Clock, parts: list[Service]) -> dict[str, Any]:
    """What a broker that forgets owes a service: its past, and word of when a message is stored."""
    if name == "alerter":
        return _remembered(settings, clock)
    if name == "detector":
        return _models_on_disk(settings)
    ingest = _Ingest(parts)
    if name == "api":
        return {"stored": ingest.stored, "read": ingest.read, "hasten": ingest.hasten}
    if name == "agent" and not settings.agent.url:  # who posts is answered when it is kept
        return {"stored": ingest.stored}
    return {}


class _Ingest:
    """What ingest says of a message, once it is among ``parts``."""

    def __init__(self, parts: list[Service]) -> None:
        self._parts = parts

    def stored(self, receipt: Receipt) -> bool:
        ingest = _named("ingest", self._parts)
        return ingest is not None and bool(ingest.stored(receipt))

    def read(self, receipt: Receipt) -> bool:
        ingest = _named("ingest", self._parts)
        return ingest is not None and bool(ingest.read(receipt))

    def hasten(self) -> None:
        ingest = _named("ingest", self._parts)
        if ingest is not None:
            ingest.hasten()


def _named(name: str, parts: list[Service]) -> Any:
    """``None`` where there is none of that name."""
    return next((part for part in parts if part.name == name), None)


def _served(settings: Settings, parts: list[Service]) -> list[Service]:
    """``parts`` with the store served around them: the engine is opened before anyone else opens it, so that it knows
    the front's roles, and the door opens when the schema is there.
    """
    from shared.store.front.service import EnginePart, StoreFront

    engine = EnginePart(settings)
    return [engine, *parts, StoreFront(settings, engine.engine)]


def _embed_broker(settings: Settings) -> tuple[Settings, Service]:
    from shared.broker.embedded import EmbeddedBroker

    broker = EmbeddedBroker(ALL_TOPICS, partitions=settings.kafka.partitions)
    return _at(settings, broker.address), broker


def _own_broker(settings: Settings) -> tuple[Settings, Service]:
    from shared.broker.local import LocalKafka

    broker = LocalKafka(settings.data_dir, revivals=3)
    return _at(settings, broker.address), broker


def _at(settings: Settings, address: str) -> Settings:
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": address})
    return settings.model_copy(update={"kafka": kafka})


def _remembered(settings: Settings, clock: Clock) -> dict[str, Any]:
    """What a broker that forgets owes the alerter: the alerts that were open, from the store."""
    from services.alerter.kept import kept_in
    from shared.store.clickhouse import open_store

    def opened() -> Awaitable[Store]:
        return open_store(settings, "alerter history")

    return {"history": kept_in(opened, clock, most_hosts=settings.alerter.max_hosts)}


def _evidence(settings: Settings) -> dict[str, Any]:
    """What the alerter shows beside an alert, where it can reach the store."""
    from services.alerter.evidence.stored import Stored
    from shared.store.clickhouse import open_store

    return {"evidence": Stored(lambda: open_store(settings, "alerter evidence"), settings.alerter.language)}


def _models_on_disk(settings: Settings) -> dict[str, Any]:
    """What a broker that forgets owes the detector: a place for what it has learned."""
    from services.detector.states import FileStates

    return {"states": FileStates(settings.data_dir / "detector" / "states")}


OWN_BROKERS = {"embedded://": _embed_broker, "local://": _own_broker}


def own_broker(settings: Settings) -> Product:
    """The parts of a process that is nothing but our Apache Kafka, with its place in the data directory claimed.

    Raises as ``build`` does, and ``ServiceDied`` where others were promised an address that it cannot have.
    """
    data_dir = DataDir(settings.data_dir)
    data_dir.claim(["broker"])
    promised = settings.kafka.bootstrap_servers
    try:
        settings, broker = _own_broker(settings)
    except RuntimeError as error:
        raise ServiceDied("broker", error) from None
    address = settings.kafka.bootstrap_servers
    if "://" not in promised and promised != address:
        raise ServiceDied("broker", RuntimeError(f"its port was taken meanwhile; {promised} was promised to others"))
    return Product(settings, [_Claim(data_dir), broker], Health())


async def create_topics(settings: Settings, topics: Sequence[Topic]) -> None:
    """They exist afterwards. Raises ``BusError``."""
    from shared.bus.kafka import admin

    await admin(settings.kafka).create(topics)


async def migrate_store(settings: Settings) -> list[str]:
    """The schema is this version's afterwards; returns what was applied. Raises ``StoreError``."""
    from shared.store.clickhouse import open_store
    from shared.store.migrate import migrate

    store = await open_store(settings, "migrations")
    try:
        return await migrate(settings, store)
    finally:
        await store.close()


class _Part:
    """A part that works while starting and stopping only."""

    name = ""

    async def start(self) -> None: ...

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None: ...


class _Claim(_Part):
    name = "data directory"

    def __init__(self, data_dir: DataDir) -> None:
        self._data_dir = data_dir

    async def stop(self) -> None:
        self._data_dir.release()


class _Topics(_Part):
    """Makes the topics when the broker is there. Where it is away nobody waits for it but who needs it (see
    ``_TopicsThere``): the API can tell what the store knows meanwhile.
    """

    name = "topics"

    def __init__(self, settings: Settings, topics: Sequence[Topic]) -> None:
        self._settings = settings
        self._topics = topics
        self._there = False

    async def start(self) -> None:
        from shared.bus.port import BusError

        try:
            async with asyncio.timeout(ONE_TRY):
                await self._create()
        except TimeoutError:
            log.warning("the broker does not answer", extra={"seconds": ONE_TRY})
        except BusError as error:
            if error.permanent:
                raise
            log.warning("the broker is away", extra={"reason": str(error)})

    async def watch(self) -> None:
        await self.until_there()
        await super().watch()

    async def until_there(self) -> None:
        if not self._there:
            await _until_there("broker", self._create)

    async def _create(self) -> None:
        await create_topics(self._settings, self._topics)
        self._there = True


class _TopicsThere(_Part):
    """Waits for the broker as long as it takes: services of a large installation start in any order."""

    name = "topics"

    def __init__(self, topics: _Topics) -> None:
        self._topics = topics

    async def start(self) -> None:
        await self._topics.until_there()


class _Schema(_Part):
    """Waits for the store as long as it takes. Its handle stays open, so that an embedded engine outlives everyone."""

    name = "store"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store | None = None

    async def start(self) -> None:
        await _until_there("store", self._open)

    async def _open(self) -> None:
        from shared.store.clickhouse import open_store
        from shared.store.migrate import migrate

        self._store = self._store or await open_store(self._settings, "schema")
        await migrate(self._settings, self._store)

    async def stop(self) -> None:
        if self._store:
            await self._store.close()


class _Settled(_Part):
    """Stops after all who store, and then lets the agent look once more at what need not be sent again."""

    name = "journal"

    def __init__(self, parts: list[Service]) -> None:
        self._parts = parts

    async def stop(self) -> None:
        agent = _named("agent", self._parts)
        if agent is not None:
            await agent.settle()


async def _until_there(what: str, attempt: Callable[[], Awaitable[object]]) -> None:
    from shared.bus.port import BusError
    from shared.store.port import StoreError

    for delay in backoff(most=3.0):  # who waits is what others wait for
        try:
            await attempt()
            return
        except (BusError, StoreError) as error:
            if error.permanent:
                raise
            log.warning(f"waiting for the {what}", extra={"reason": str(error), "seconds": round(delay, 1)})
            await asyncio.sleep(delay)
