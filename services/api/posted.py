"""Batches of events that agents post, sorted: the good lines into messages for the bus, the bad ones with a reason.

What ingest would put aside is refused here already, because whoever posted it is still there to hear why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from shared.bus.publishing import MAX_MESSAGE_BYTES
from shared.runtime.settings import Settings
from shared.schemas.base import DAY_MS, Event, untimely
from shared.schemas.codec import Decoder, pack, twin
from shared.schemas.log import LogEvent
from shared.schemas.sample import HostSample
from shared.schemas.topics import LOGS, METRICS, Topic

MAX_LINE_BYTES = MAX_MESSAGE_BYTES - 4096  # with its key and headers it must fit into a message
MESSAGE_BYTES = 256 << 10
MOST_REASONS = 100


class Outgoing(NamedTuple):
    """One message: lines of one host, in the order they came."""

    topic: Topic
    host_id: str
    value: bytes


class Rejected(NamedTuple):
    """``line`` counts from 1."""

    line: int
    reason: str


@dataclass
class Posted:
    """What became of a batch. ``rejected`` explains the first ``MOST_REASONS`` of ``rejected_count``."""

    messages: list[Outgoing] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    accepted: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return self.accepted + self.rejected_count

    def reject(self, number: int, reason: str) -> None:
        self.rejected_count += 1
        if len(self.rejected) < MOST_REASONS:
            self.rejected.append(Rejected(number, reason))


class Sorter:
    """Without a state of its own."""

    def __init__(self, settings: Settings) -> None:
        self._decoder: Decoder[Event] = Decoder(HostSample, LogEvent)
        self._max_future_ms = round(settings.ingest.max_future_seconds * 1000)
        keep = settings.clickhouse
        self._kinds: dict[object, tuple[Topic, int]] = {
            twin(HostSample): (METRICS, keep.raw_days * DAY_MS),
            twin(LogEvent): (LOGS, keep.log_days * DAY_MS),
        }

    def sort(self, body: bytes, now_ms: int) -> Posted:
        """Every line is accepted or rejected; blank ones are nothing."""
        out = Posted()
        ready: dict[tuple[str, str], _Packing] = {}
        for number, line in enumerate(body.split(b"\n"), start=1):
            if not line or line.isspace():
                continue
            if len(line) > MAX_LINE_BYTES:
                out.reject(number, f"the line has {len(line)} bytes, at most {MAX_LINE_BYTES} are taken")
                continue
            try:
                event = self._decoder.line(line)
            except (ValueError, RecursionError):
                out.reject(number, self._decoder.why_not(line))
                continue
            topic, max_age_ms = self._kinds[type(event)]
            if not now_ms - max_age_ms <= event.ts <= now_ms + self._max_future_ms:
                out.reject(number, untimely(event.ts, now_ms))
                continue
            host_id: str = event.host_id  # type: ignore[attr-defined]
            out.accepted += 1
            out.hosts.add(host_id)
            key = (topic.name, host_id)
            if key not in ready:
                ready[key] = _Packing(topic, host_id)
            ready[key].add(line)
        out.messages = [message for packing in ready.values() for message in packing.messages()]
        return out


class _Packing:
    def __init__(self, topic: Topic, host_id: str) -> None:
        self._topic = topic
        self._host_id = host_id
        self._groups: list[list[bytes]] = [[]]
        self._size = 0

    def add(self, line: bytes) -> None:
        if self._groups[-1] and self._size + len(line) > MESSAGE_BYTES:
            self._groups.append([])
            self._size = 0
        self._groups[-1].append(line)
        self._size += len(line) + 1

    def messages(self) -> list[Outgoing]:
        return [Outgoing(self._topic, self._host_id, pack(lines)) for lines in self._groups]
