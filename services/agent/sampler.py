"""One tick: run the collectors that are due, put what they found into an event."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from services.agent.event_time import EventTime
from services.agent.identity import Identity
from services.agent.lanes import Lane, Probe
from services.agent.schedule import due
from shared.runtime.clock import Clock
from shared.runtime.selfmetrics import AGENT_EVENTS, AGENT_TICK_SECONDS, AGENT_TICKS_MISSED

log = logging.getLogger(__name__)

FIRST_PATIENCE = 2.0  # seconds: the first event has every section
MOST_BYTES = 900_000  # an event must fit a message of 1 MiB
NAME_EVERY = 60.0  # seconds between looks at the host's name

Event = dict[str, Any]


class Numbers(Protocol):
    def next(self) -> int: ...


class Sampler:
    """``about_itself`` gives the agent's own section, given the seconds the tick took and the failing sections."""

    def __init__(
        self,
        identity: Identity,
        probes: Sequence[Probe],
        *,
        clock: Clock,
        interval: float,
        collector_timeout: float,
        numbers: Numbers,
        about_itself: Callable[[float, dict[str, str]], Event] | None = None,
        about_itself_every: int = 5,
        event_time: EventTime | None = None,
    ) -> None:
        self._identity = identity
        self.probes = tuple(probes)
        self._clock = clock
        self._interval = interval
        self._timeout = collector_timeout
        self._numbers = numbers
        self._about_itself = about_itself
        self._about_itself_every = about_itself_every
        self._event_time = event_time or EventTime()
        self._lane = Lane("collect", clock.monotonic)
        self._background = Lane("background", clock.monotonic)
        self._run_began = 0  # the number of the first event
        self._slot = -1
        self._failing: dict[str, str] = {}
        self._name = ""
        self._name_due = 0.0
        self._tick_seconds = 0.0

    async def prime(self) -> None:
        """First readings of what is measured as a difference, so that the first event has true rates."""
        await self._collect(self._lane, [p for p in self.probes if not p.background], FIRST_PATIENCE)
        for probe in self.probes:
            probe.take()

    async def tick(self, slot: int) -> bytes:
        """The event of this slot, encoded. Returns before the next slot begins, whatever the collectors do."""
        began = self._clock.monotonic()
        ts = self._event_time.stamp(self._clock.now_ms())
        await self._run([p for p in self.probes if due(slot, self._slot, p.every)], first=self._slot < 0)
        changed = self._judge()
        event = self._envelope(ts)
        for probe in self.probes:
            if (found := probe.take()) is not None:
                event[probe.section] = found
        if self._about_itself is not None and (
            changed or "system" in event or due(slot, self._slot, self._about_itself_every)
        ):
            event["agent"] = self._about_itself(self._tick_seconds, dict(self._failing))
        AGENT_TICKS_MISSED.add(slot - self._slot - 1)
        self._slot = slot
        line = encode(event)
        self._tick_seconds = self._clock.monotonic() - began
        AGENT_EVENTS.add()
        AGENT_TICK_SECONDS.observe(self._tick_seconds)
        return line

    def stop(self) -> None:
        self._lane.stop()
        self._background.stop()

    async def _run(self, probes: Sequence[Probe], *, first: bool) -> None:
        """Runs what is instant, waits for what is quick, a little for what is slow, and the first time for everything.

        What comes late is in a later event.
        """
        quick = [p for p in probes if not p.background and not p.at_once(self._clock.monotonic)]
        slow = [p for p in probes if p.background]
        self._background.leave_behind(after=self._timeout)
        if not slow:  # most ticks: no need for tasks
            await self._collect(self._lane, quick, self._interval / 2)
        elif first:
            await asyncio.gather(
                self._collect(self._lane, quick, FIRST_PATIENCE), self._collect(self._background, slow, FIRST_PATIENCE)
            )
        else:
            a_little = min(FIRST_PATIENCE, self._interval / 10)
            await asyncio.gather(
                self._collect(self._lane, quick, self._interval / 2),
                self._collect(self._background, slow, a_little, hurry=False),
            )

    async def _collect(self, lane: Lane, probes: Sequence[Probe], patience: float, *, hurry: bool = True) -> None:
        """Runs the probes and waits for them so long.

        In a hurry, one that takes half of that is left behind for the others' sake.
        """
        if not probes:
            return
        loop = asyncio.get_running_loop()
        idle = asyncio.Event()
        deadline = loop.time() + patience
        lane.submit(probes, lambda: loop.call_soon_threadsafe(idle.set))
        while (left := deadline - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, patience / 2)):
                    await idle.wait()
                return
            except TimeoutError:
                if hurry:
                    lane.leave_behind()

    def _hangs(self, probe: Probe) -> bool:
        entered = probe.entered_at
        return entered is not None and self._clock.monotonic() - entered >= self._timeout

    def _judge(self) -> bool:
        """Notes who fails now, and says so once, when it changes; returns whether it did."""
        failing: dict[str, str] = {}
        for probe in self.probes:
            if self._hangs(probe):
                failing[probe.section] = f"hangs for more than {self._timeout:g} s"
            elif probe.error is not None:
                failing[probe.section] = probe.error
        for section in failing.keys() - self._failing.keys():
            log.warning("a collector fails", extra={"section": section, "reason": failing[section]})
        for section in self._failing.keys() - failing.keys():
            log.info("a collector works again", extra={"section": section})
        changed = failing.keys() != self._failing.keys()
        self._failing = failing
        return changed

    def _envelope(self, ts: int) -> Event:
        if not self._name or self._clock.monotonic() >= self._name_due:
            self._name = self._identity.name()
            self._name_due = self._clock.monotonic() + NAME_EVERY
        seq = self._numbers.next()
        self._run_began = self._run_began or seq
        event: Event = {
            "schema_version": 1,
            "kind": "sample",
            "event_id": event_id(self._identity.host_id, ts, seq),
            "ts": ts,
            "host_id": self._identity.host_id,
            "host": self._name,
            "seq": seq,
            "run": self._run_began,
        }
        if self._identity.labels:
            event["labels"] = self._identity.labels
        return event


def event_id(host_id: str, ts: int, seq: int) -> str:
    """The same for an event wherever it is sent again, another for every other event."""
    host = host_id if len(host_id) <= 64 else hashlib.sha256(host_id.encode()).hexdigest()
    return f"{host}-{ts}-{seq}"


_encode = msgspec.json.Encoder().encode


def encode(event: Event, most: int = MOST_BYTES) -> bytes:
    """One JSON line. An event too long for a message loses its longest parts: command lines, then list entries."""
    try:
        line = _encode(event)
    except (TypeError, ValueError):
        event = {name: part for name, part in event.items() if _encodable(name, part)}
        line = _encode(event)
    keep = 512
    while len(line) > most and keep:
        event, keep = _shortened(event, keep), keep // 2
        line = _encode(event)
    return line


def _encodable(name: str, part: Any) -> bool:
    try:
        _encode(part)
    except (TypeError, ValueError) as error:
        log.error("a section cannot be encoded", extra={"section": name, "reason": str(error)})
        return False
    return True


def _shortened(event: Event, keep: int) -> Event:
    short = {name: part[:keep] if isinstance(part, list) else part for name, part in event.items()}
    processes = event.get("processes")
    if processes is not None:
        short["processes"] = {**processes, "top": [{**p, "cmdline": []} for p in processes["top"][:keep]]}
    return short
