"""The agent: measures this host and publishes what it finds. It opens no port and does nothing it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from services.agent import plan
from services.agent.collectors.base import Collector
from services.agent.event_time import EventTime
from services.agent.identity import Identity, identify
from services.agent.lanes import Probe
from services.agent.outbox import Outbox
from services.agent.paths import host_paths
from services.agent.sampler import Sampler
from services.agent.schedule import Grid, slots
from services.agent.self_state import SelfState
from services.agent.sequence import Sequence as Numbers
from services.agent.spool import Spool
from shared.bus.port import Publisher, Stored
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.health import Health
from shared.runtime.lifecycle import Service
from shared.runtime.settings import Settings

BASELINE = 1.0  # seconds at most between the first readings and the first event
ABOUT_ITSELF_EVERY = 5.0  # seconds
STOP_WITHIN = 2.0
UNWELL_AFTER = 10  # intervals without a tick


def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    health: Health | None = None,
    publisher: Publisher | None = None,
    collectors: Sequence[Collector] | None = None,
    stored: Stored | None = None,
) -> Service:
    """``publisher`` and ``collectors`` replace the bus and this machine, for tests. ``stored``: keep a journal,
    for a broker that forgets.

    Raises ``SettingsError`` or ``BusError`` where the settings name no way out that can work.
    """
    clock = clock or SystemClock()
    publisher = publisher or _publisher(settings, clock)
    return AgentService(settings, clock, health or Health(), publisher, collectors, stored)


def _publisher(settings: Settings, clock: Clock) -> Publisher:
    if settings.agent.url:
        from services.agent import posting

        return posting.publisher(settings.agent, clock=clock)
    from shared.bus import publishing  # a Kafka client is not small; tests, `--help` and who posts do without

    return publishing.KafkaPublisher(settings.kafka, "lapwing-agent")


class AgentService:
    name = "agent"

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        health: Health,
        publisher: Publisher,
        collectors: Sequence[Collector] | None,
        stored: Stored | None,
    ) -> None:
        self._settings = settings.agent
        self._directory = settings.data_dir / "agent"
        self._clock = clock
        self._publisher = publisher
        self._collectors = collectors
        self._paths = host_paths(self._settings)
        self._spool = Spool(
            self._directory / "spool", self._settings.spool_max_bytes, self._settings.spool_max_age, clock
        )
        self._stored = stored
        self._outbox: Outbox | None = None
        self._sampler: Sampler | None = None
        self._numbers: Numbers | None = None
        self._event_time = EventTime()
        self._ticks: asyncio.Task[None] | None = None
        self._reserving: asyncio.Task[None] | None = None
        self._last_tick: float | None = None
        health.progress["agent"] = self._progress
        health.warnings["agent: bus"] = self._bus

    async def start(self) -> None:
        interval = self._settings.interval
        self._outbox = self._way_out()
        identity = await self._outbox.on_disk(self._open)
        await self._publisher.start()
        self._outbox.start(identity.host_id)
        assert self._numbers is not None
        self._sampler = Sampler(
            identity,
            self._probes(),
            clock=self._clock,
            interval=interval,
            collector_timeout=self._settings.collector_timeout,
            numbers=self._numbers,
            about_itself=SelfState(self._clock, interval, self._outbox),
            about_itself_every=slots(ABOUT_ITSELF_EVERY, interval),
            event_time=self._event_time,
        )
        await self._sampler.prime()
        self._last_tick = self._clock.monotonic()
        self._ticks = asyncio.create_task(self._tick(self._sampler, self._outbox, self._numbers), name="agent-ticks")

    async def watch(self) -> None:
        assert self._ticks is not None and self._outbox is not None
        watches = {asyncio.ensure_future(self._outbox.watch()), asyncio.shield(self._ticks)}
        done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        if self._ticks is not None:
            self._ticks.cancel()
            await asyncio.gather(self._ticks, return_exceptions=True)
            self._ticks = None
        if self._sampler is not None:
            self._sampler.stop()
        if self._outbox is not None:
            if self._numbers is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(STOP_WITHIN / 4):
                        await self._outbox.on_disk(self._numbers.close, self._event_time.last)
            await self._outbox.stop(STOP_WITHIN)
            if self._stored is None:
                self._outbox = None
        await self._publisher.stop()

    async def settle(self) -> None:
        """After ``stop``, and after whoever stores has stopped too: what is stored by now need not be sent again."""
        if self._outbox is not None:
            await self._outbox.settle()
            self._outbox = None

    def _way_out(self) -> Outbox:
        clock, interval, pack = self._clock, self._settings.interval, self._settings.pack
        if self._stored is not None:
            from services.agent.journal import Journal  # an agent alone has no use for it

            return Journal(self._publisher, self._spool, self._stored, clock=clock, interval=interval, pack=pack)
        return Outbox(self._publisher, self._spool, clock=clock, interval=interval, pack=pack)

    def _open(self) -> Identity:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._numbers = Numbers(self._directory / "sequence", self._clock.now_ms())
        self._numbers.reserve()
        self._event_time = EventTime(self._numbers.instant)
        self._spool.open()
        return identify(self._settings, self._paths, self._directory)

    def _probes(self) -> list[Probe]:
        if self._collectors:
            return plan.planned(self._settings, self._collectors)
        collectors = plan.collectors(self._settings, self._paths)
        return plan.planned(self._settings, collectors, plan.instant_here(self._paths))

    async def _tick(self, sampler: Sampler, outbox: Outbox, numbers: Numbers) -> None:
        now = self._clock.monotonic()
        grid = Grid(now + min(BASELINE, self._settings.interval), self._settings.interval)
        slot = -1
        while True:
            slot, begins = grid.after(self._clock.monotonic(), slot)
            await asyncio.sleep(begins - self._clock.monotonic())
            outbox.put(await sampler.tick(slot))
            self._last_tick = self._clock.monotonic()
            if numbers.low and (self._reserving is None or self._reserving.done()):
                self._reserving = asyncio.create_task(outbox.on_disk(numbers.reserve, self._event_time.last))

    def _progress(self) -> str | None:
        if self._last_tick is None:
            return "the agent has not started"
        silent = self._clock.monotonic() - self._last_tick
        if silent > max(5.0, UNWELL_AFTER * self._settings.interval):
            return f"the agent has not measured for {silent:.0f} s"
        return None

    def _bus(self) -> str | None:
        if self._outbox is None or self._outbox.away_since is None:
            return None
        return f"events go to the spool: {self._outbox.away_because}"
