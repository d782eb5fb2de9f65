"""Batches of host samples in, scores and anomalies out. What is published is confirmed before the input is."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass

import msgspec

from services.detector.bank import Verdict
from services.detector.continuity import Continuity, Past
from services.detector.detection import Detection
from services.detector.states import States
from shared.bus.port import Message, Publisher
from shared.runtime.clock import Clock
from shared.schemas.anomaly import Anomaly
from shared.schemas.base import SCHEMA_VERSION
from shared.schemas.codec import BadLine, Decoder, encode, pack
from shared.schemas.sample import HostSample, Process
from shared.schemas.topics import ANOMALIES

log = logging.getLogger(__name__)

MAX_PACK_BYTES = 256 << 10
TOP_BY_CPU = 5
TOP_BY_MEMORY = 3


@dataclass
class Counters:
    """Since the start: events ``scored``; not judged because they were ``bad`` (ingest's business), from before the
    host's last (``late``), from the ``future``, or because of a fault of ours (``failed``); anomalies ``opened``.
    """

    scored: int = 0
    bad: int = 0
    late: int = 0
    future: int = 0
    failed: int = 0
    opened: int = 0


class Processor:
    """Its ``handle`` may be called again with the same batch after a temporary error, or with another after it was
    cancelled: what was learned is not learned again and is told, what was published is not published again.
    """

    def __init__(
        self,
        detection: Detection,
        publisher: Publisher,
        states: States,
        past: Past,
        clock: Clock,
        *,
        max_hosts: int,
        max_future_ms: float,
        forget_ms: float,
        mine: Callable[[], Set[int]],
    ) -> None:
        """``forget_ms``, ``mine``: see ``Continuity``."""
        self.counters = Counters()
        self._detection = detection
        self._publisher = publisher
        self._continuity = Continuity(detection, states, past, self._learn, clock, forget_ms=forget_ms, mine=mine)
        self._clock = clock
        self._max_hosts = max_hosts
        self._max_future_ms = max_future_ms
        self._decoder = Decoder(HostSample)
        self._processes: OrderedDict[str, Sequence[Process]] = OrderedDict()
        self._in_hand: tuple[list[tuple[int, int]], asyncio.Task[None]] | None = None
        self._unsent: list[tuple[str, bytes]] = []
        self._opened: set[str] = set()
        self._closed: set[str] = set()
        self._stuck_since: float | None = None
        self._stuck_reason = ""

    async def handle(self, batch: Sequence[Message]) -> None:
        """Raises ``BusError``."""
        extent = [(m.partition, m.offset) for m in batch]
        if self._in_hand is not None and self._in_hand[0] != extent:
            await self._finish(self._in_hand[1])  # it was taken from us half-way, as in a rebalance
        if self._in_hand is None:
            self._in_hand = extent, asyncio.create_task(self._judge(batch))
        await self._finish(self._in_hand[1])
        await self._continuity.save_due(batch)

    async def _judge(self, batch: Sequence[Message]) -> None:
        untold = await self._continuity.catch_up(batch)
        self._unsent = [*untold, *await self._judged(batch)]
        self._continuity.learned(batch)
        # An episode is kept from before its opening is told until after its end is; whoever goes on from there
        # knows what was still to be told.
        await self._continuity.save(self._opened, self._untold())
        self._opened.update(host_id for host_id, _ in untold)

    async def _finish(self, judging: asyncio.Task[None]) -> None:
        try:
            # What is learned is told, whoever is cancelled meanwhile.
            await asyncio.shield(judging)
        finally:
            if judging.done() and (judging.cancelled() or judging.exception()):
                self._in_hand = None  # nothing was learned; another time
        await self._send()
        await self._continuity.save(self._opened | self._closed, {})
        self._opened, self._closed, self._in_hand = set(), set(), None

    async def save(self, partitions: Set[int]) -> None:
        """Everything learned of hosts in these partitions, for whoever goes on with them."""
        if self._in_hand is not None:
            await asyncio.wait({self._in_hand[1]})
        await self._continuity.save_all(partitions, self._untold())

    def _untold(self) -> dict[str, list[bytes]]:
        untold: dict[str, list[bytes]] = {}
        for host_id, value in self._unsent:
            untold.setdefault(host_id, []).append(value)
        return untold

    def stuck(self) -> str | None:
        """Why nothing has been published for a minute although there was something."""
        if self._stuck_since is None or self._clock.monotonic() - self._stuck_since < 60:
            return None
        return f"scores cannot be published: {self._stuck_reason}"

    async def _judged(self, batch: Sequence[Message]) -> list[tuple[str, bytes]]:
        lines: dict[str, list[bytes]] = {}
        for number, message in enumerate(batch):
            for sample in self._decoder.lines(message.value or b""):
                if isinstance(sample, BadLine):
                    self.counters.bad += 1
                    continue
                try:
                    found = list(self._lines(sample, message.partition))
                except Exception:
                    # One event no model can bear must not stop the judgement of all others.
                    log.exception("an event could not be judged", extra={"host": sample.host, "event": sample.event_id})
                    self.counters.failed += 1
                else:
                    lines.setdefault(sample.host_id, []).extend(found)
            if number % 50 == 49:
                await asyncio.sleep(0)  # others live on this loop
        for anomaly in self._detection.sweep():
            lines.setdefault(anomaly.host_id, []).append(self._told(anomaly))
        return [(host_id, value) for host_id, found in lines.items() for value in _packs(found)]

    def _lines(self, sample: HostSample, partition: int) -> Iterable[bytes]:
        if sample.ts > self._clock.now_ms() + self._max_future_ms:
            self.counters.future += 1
            return
        judged = self._observed(sample, partition)
        if judged is None:
            self.counters.late += 1
            return
        verdict, anomalies = judged
        self.counters.scored += 1
        if sample.processes:
            self._remember(sample.host_id, sample.processes.top)
        yield _score_line(sample, verdict)
        for anomaly in anomalies:
            yield self._told(anomaly)

    def _learn(self, message: Message) -> None:
        """What was judged and told before, for the models alone."""
        for sample in self._decoder.lines(message.value or b""):
            if isinstance(sample, BadLine) or sample.ts > self._clock.now_ms() + self._max_future_ms:
                continue
            try:
                self._observed(sample, message.partition)
            except Exception:
                log.exception("an event could not be learned", extra={"host": sample.host, "event": sample.event_id})

    def _observed(self, sample: HostSample, partition: int) -> tuple[Verdict, list[Anomaly]] | None:
        judged = self._detection.observe(sample)
        if judged is not None:
            self._continuity.seen(sample.host_id, partition, sample.ts)
        return judged

    def _told(self, anomaly: Anomaly) -> bytes:
        if anomaly.state == "open":
            self.counters.opened += 1
            self._opened.add(anomaly.host_id)
        elif anomaly.state == "close":
            self._closed.add(anomaly.host_id)
        if anomaly.state != "update":
            log.info(
                "anomaly opened" if anomaly.state == "open" else "anomaly closed",
                extra={"host": anomaly.host, "score": round(anomaly.peak_score, 2), "summary": anomaly.summary},
            )
        if anomaly.state != "close":
            top = [Process.model_validate(msgspec.to_builtins(p)) for p in self._processes.get(anomaly.host_id, ())]
            if _is_about_memory(anomaly):
                top.sort(key=lambda p: -p.memory_percent)
            anomaly = anomaly.model_copy(update={"top_processes": top})
        return encode(anomaly)

    def _remember(self, host_id: str, top: Sequence[Process]) -> None:
        by_cpu = sorted(top, key=lambda p: -p.cpu_percent)[:TOP_BY_CPU]
        by_memory = sorted(top, key=lambda p: -p.memory_percent)[:TOP_BY_MEMORY]
        self._processes[host_id] = [*by_cpu, *(p for p in by_memory if p not in by_cpu)]
        self._processes.move_to_end(host_id)
        if len(self._processes) > self._max_hosts:
            self._processes.popitem(last=False)

    async def _send(self) -> None:
        unsent = self._unsent
        results = await asyncio.gather(
            *(self._publisher.publish(ANOMALIES, host_id, value) for host_id, value in unsent),
            return_exceptions=True,
        )
        # Of one host all after the first failure, so that its events stay in order.
        failed: dict[str, BaseException] = {}
        left = []
        for (host_id, value), result in zip(unsent, results, strict=True):
            if isinstance(result, BaseException):
                failed.setdefault(host_id, result)
            if host_id in failed:
                left.append((host_id, value))
        if failed:
            error = next(iter(failed.values()))
            self._unsent = left
            self._stuck_since = self._clock.monotonic() if self._stuck_since is None else self._stuck_since
            self._stuck_reason = str(error)
            raise error
        self._unsent, self._stuck_since = [], None


def _score_line(sample: HostSample, verdict: Verdict) -> bytes:
    return encode(
        {
            "schema_version": SCHEMA_VERSION,
            "kind": "score",
            "event_id": sample.event_id,
            "ts": sample.ts,
            "host_id": sample.host_id,
            "host": sample.host,
            "score": round(verdict.score, 3),
            "metrics": {name: round(score, 3) for name, score in verdict.metrics.items()},
            "warming_up": verdict.warming_up,
        }
    )


def _packs(lines: Sequence[bytes]) -> Iterable[bytes]:
    """One value out of all, or several where it would become too large."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and size + len(line) >= MAX_PACK_BYTES:
            yield pack(some)
            some, size = [], 0
        some.append(line)
        size += len(line) + 1
    if some:
        yield pack(some)


def _is_about_memory(anomaly: Anomaly) -> bool:
    """Who reads of it wants to see first who holds the memory, not who is busy."""
    first = anomaly.contributions[0].metric if anomaly.contributions else ""
    return anomaly.finding == "memory_leak" or first.startswith(("memory.", "swap.", "pressure.memory"))
