"""A bus, a machine and events that tests can do with as they like."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.bus.port import BusError, Receipt
from shared.schemas.topics import METRICS, Topic


def line(number: int, size: int = 40, ts: int | None = None) -> bytes:
    body = {"ts": 1_800_000_000_000 + number if ts is None else ts, "n": number, "pad": ""}
    body["pad"] = "x" * max(0, size - len(json.dumps(body)))
    return json.dumps(body).encode()


def numbers(lines: list[bytes]) -> list[int]:
    return [json.loads(each)["n"] for each in lines]


@dataclass
class Published:
    lines: list[bytes]
    spooled: bool

    @property
    def numbers(self) -> list[int]:
        return numbers(self.lines)


@dataclass
class FakePublisher:
    """``fail`` decides about each message: return ``None`` to take it."""

    fail: Callable[[bytes], BusError | None] = lambda value: None
    stuck: asyncio.Event | None = None
    """While it is set to an event, ``publish`` waits for that."""
    sent: list[Published] = field(default_factory=list)
    attempts: int = 0
    started: bool = False
    stopped: bool = False

    async def start(self) -> None:
        self.started = True

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        assert topic == METRICS
        assert value is not None
        assert key
        self.attempts += 1
        if self.stuck is not None:
            await self.stuck.wait()
        if error := self.fail(value):
            raise error
        self.sent.append(Published(value.split(b"\n"), (headers or {}).get("lapwing-spooled") == b"1"))
        return Receipt(topic.name, 0, len(self.sent) - 1)

    async def stop(self) -> None:
        self.stopped = True

    def away(self) -> None:
        self.fail = lambda value: BusError("nobody there")

    def back(self) -> None:
        self.fail = lambda value: None

    @property
    def live(self) -> list[int]:
        return [n for message in self.sent if not message.spooled for n in message.numbers]

    @property
    def spooled(self) -> list[int]:
        return [n for message in self.sent if message.spooled for n in message.numbers]


class FakeCollector:
    """Counts; fails or hangs when told."""

    def __init__(self, section: str = "load") -> None:
        self.section = section
        self.calls = 0
        self.error: Exception | None = None
        self.hang: threading.Event | None = None
        self.entered = threading.Event()

    def collect(self, now: float) -> Any:
        self.calls += 1
        self.entered.set()
        if self.hang is not None:
            self.hang.wait(30)
        if self.error is not None:
            raise self.error
        return {"calls": self.calls}
