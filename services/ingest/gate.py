"""What may enter the store: every line is the event it claims to be, and of a time that can be true.

ClickHouse alone would not do: reading JSON it takes 70000 for a UInt16 and stores 4464, a missing host for an empty
one, 500 for a percentage. Checking a line against the models costs 8 us, a tenth of storing it
(docs/benchmarks/ingest.md), and says at once which hosts and minutes a batch touches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.ingest.dead_letters import DeadLetter
from services.ingest.ledger import LATE_MS, Notes
from shared.bus.port import Message
from shared.schemas.base import DAY_MS, SCHEMA_VERSION, Event, untimely
from shared.schemas.codec import Decoder, twin
from shared.schemas.topics import SPOOLED_HEADER

MAX_LINE_BYTES = 4 << 20
MINUTE_MS = 60_000


class Line(NamedTuple):
    """A line, and where it came from: ``number`` counts from 1 within ``message``."""

    line: bytes
    message: Message
    number: int


@dataclass
class Sorted:
    """What became of a batch: lines to store by UTC day (a day is a partition), dead letters, and what was touched:
    the hosts whose samples fell into each minute since 1970. ``notes`` is what the ledger wants to know.
    """

    days: dict[int, list[Line]] = field(default_factory=lambda: defaultdict(list))
    touched: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    dead: list[DeadLetter] = field(default_factory=list)
    newest_ms: int = 0
    notes: Notes = field(default_factory=Notes)


class Gate:
    """Sorts the lines of messages. Without a state of its own."""

    def __init__(
        self,
        models: Sequence[type[Event]],
        rolled_up: type[Event] | None,
        *,
        max_future_ms: int,
        max_age_ms: int,
        ledger: bool = False,
    ) -> None:
        self._decoder: Decoder[Event] = Decoder(*models)
        self._rolled_up: object = twin(rolled_up) if rolled_up else None
        self._max_future_ms = max_future_ms
        self._max_age_ms = max_age_ms
        self._ledger = ledger

    def sort(self, batch: Sequence[Message], now_ms: int) -> Sorted:
        """Every line of the batch is either in ``days`` or in ``dead``; blank ones are nothing."""
        out = Sorted()
        decode, rolled_up = self._decoder.line, self._rolled_up
        latest, earliest = now_ms + self._max_future_ms, now_ms - self._max_age_ms
        for message in batch:
            value = message.value
            if not value or value.isspace():
                out.dead.append(DeadLetter(message, value or b"", 1, "decode", "the message is empty"))
                continue
            spooled = SPOOLED_HEADER in message.headers
            in_time = message.timestamp_ms - LATE_MS
            for number, line in enumerate(value.split(b"\n"), start=1):
                if len(line) > MAX_LINE_BYTES:
                    reason = f"the line has {len(line)} bytes, at most {MAX_LINE_BYTES} are taken"
                    out.dead.append(DeadLetter(message, line, number, "decode", reason))
                    continue
                try:
                    event = decode(line)
                except (ValueError, RecursionError):
                    if line and not line.isspace():
                        out.dead.append(DeadLetter(message, line, number, "decode", self._decoder.why_not(line)))
                    continue
                if event.schema_version > SCHEMA_VERSION:
                    out.dead.append(DeadLetter(message, line, number, "decode", _too_new(event.schema_version)))
                    continue
                ts = event.ts
                if not earliest <= ts <= latest:
                    out.dead.append(DeadLetter(message, line, number, "time", untimely(ts, now_ms)))
                    continue
                out.days[ts // DAY_MS].append(Line(line, message, number))
                if ts > out.newest_ms:
                    out.newest_ms = ts
                if type(event) is rolled_up:
                    out.touched[ts // MINUTE_MS].add(event.host_id)  # type: ignore[attr-defined]
                    if self._ledger:
                        if spooled or ts < in_time:
                            out.notes.arrived(event, line, message.timestamp_ms, spooled)  # type: ignore[arg-type]
                        if event.agent is not None and event.agent.dropped:  # type: ignore[attr-defined]
                            out.notes.dropped(event)  # type: ignore[arg-type]
        return out


def _too_new(version: int) -> str:
    """What a newer version calls by the same name may mean something else."""
    return f"schema_version {version} is newer than {SCHEMA_VERSION}, the newest known here: upgrade ingest, then retry"
