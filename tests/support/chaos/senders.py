"""Hosts that number what they send: an event counts as accepted when ``publish`` returned with it, and not before."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque

from shared.bus.kafka import publisher
from shared.bus.port import BusError, Publisher
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import METRICS
from tests.support.samples import host_sample

SHIFT_MS = 180_000
"""Their clocks are so far behind, so that their minutes are closed, and rolled up, while the test still runs."""

MOST_LINES = 40
PREFIX = "chaos-"


class Senders:
    """``accepted[host_id]`` are the numbers the broker has confirmed; ``failed`` counts messages
    of which that is not known, whose events were sent once more."""

    def __init__(self, kafka: KafkaSettings, hosts: int, every: float) -> None:
        self._kafka = kafka
        self._every = every
        self.hosts = [f"{PREFIX}{number:03d}" for number in range(hosts)]
        self.accepted: dict[str, int] = dict.fromkeys(self.hosts, 0)
        self.failed = 0
        self._waiting: dict[str, deque[bytes]] = {host: deque() for host in self.hosts}
        self._wake = {host: asyncio.Event() for host in self.hosts}
        self._made = dict.fromkeys(self.hosts, 0)
        self._ending = False

    @property
    def total(self) -> int:
        return sum(self.accepted.values())

    async def run(self) -> None:
        """Until ``end``, and then until everything made was accepted."""
        out = publisher(self._kafka, "chaos", timeout=5.0)
        await out.start()
        try:
            async with asyncio.TaskGroup() as group:
                for index, host in enumerate(self.hosts):
                    group.create_task(self._make(host, index / len(self.hosts) * self._every))
                    group.create_task(self._send(out, host))
        finally:
            await out.stop()

    def end(self) -> None:
        self._ending = True
        for wake in self._wake.values():
            wake.set()

    async def _make(self, host: str, later: float) -> None:
        begin = time.monotonic() + later
        begin_ms = time.time() * 1000 + later * 1000 - SHIFT_MS
        while not self._ending:
            number = self._made[host]
            await asyncio.sleep(max(0.0, begin + number * self._every - time.monotonic()))
            # Of when it was due: never two of one host at one instant, however late this loop is.
            self._waiting[host].append(_event(host, number, round(begin_ms + number * self._every * 1000)))
            self._made[host] += 1
            self._wake[host].set()

    async def _send(self, out: Publisher, host: str) -> None:
        waiting, wake = self._waiting[host], self._wake[host]
        while not (self._ending and not waiting):
            if not waiting:
                wake.clear()
                await wake.wait()
                continue
            lines = [waiting[index] for index in range(min(MOST_LINES, len(waiting)))]
            try:
                await out.publish(METRICS, host, b"\n".join(lines))
            except BusError:
                # It may have arrived all the same: that is what the other side has to bear.
                self.failed += 1
                await asyncio.sleep(0.2)
                continue
            for _ in lines:
                waiting.popleft()
            self.accepted[host] += len(lines)


def _event(host: str, number: int, ts: int) -> bytes:
    """With numbers of its own."""
    return json.dumps(
        host_sample(
            ts=ts,
            event_id=f"{host}-{ts}",
            host_id=host,
            host=host,
            seq=number,
            cpu={"percent": number * 7 % 1000 / 10},
            memory={"percent": number * 3 % 1000 / 10},
            processes=None,
            disks=None,
        )
    ).encode()
