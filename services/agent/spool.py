"""Events on disk while nobody takes them: append-only segments, bounded, in order.

A segment is a file of lines; whoever was killed while writing leaves at most half a line at its end, which is passed
over. A spool never continues an old segment. Positions are (segment, byte): what was read is not gone until
``trim`` says so, so that a reader may trim when events are sent, or later, when they are known to be stored. How far
that is outlives a kill, too, in a file of its own.

Not for several threads at once, and every call may wait for the disk: keep it off the event loop.
"""

from __future__ import annotations

import errno
import logging
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

SEGMENT_BYTES = 1 << 20
MEMORY_BYTES = 4 << 20  # what is kept when the disk takes nothing
SYNC_EVERY_BYTES = 64 << 10
SUFFIX = ".jsonl"
MARK = "trimmed"
IN_MEMORY = 1 << 62  # the segment of what is not on disk, behind all others


class Position(NamedTuple):
    """Just behind an event: it, and everything before it, has been read."""

    segment: int = -1
    byte: int = 0
    events: int = 0
    """Of this segment, up to here."""


@dataclass(frozen=True)
class Batch:
    """Events in order; ``until`` is behind the last of them."""

    lines: list[bytes]
    until: Position


@dataclass
class Segment:
    number: int
    path: Path
    size: int = 0
    """Bytes of whole lines."""
    events: int = 0
    expires: float = 0.0
    """On the monotonic clock, so that a wall clock that jumps throws nothing away."""
    trimmed: Position = field(default_factory=Position)


@dataclass
class Lost:
    """Events dropped since the start, by reason."""

    too_many: int = 0
    too_old: int = 0
    unreadable: int = 0
    no_room: int = 0

    @property
    def total(self) -> int:
        return self.too_many + self.too_old + self.unreadable + self.no_room

    def by_reason(self) -> dict[str, int]:
        return asdict(self)


class _Instant(msgspec.Struct):
    ts: int


_instant = msgspec.json.Decoder(_Instant).decode


@dataclass
class Spool:
    """``open`` first. ``max_age`` in seconds."""

    directory: Path
    max_bytes: int
    max_age: float
    clock: Clock
    segment_bytes: int = SEGMENT_BYTES
    memory_bytes: int = MEMORY_BYTES
    lost: Lost = field(default_factory=Lost)

    def __post_init__(self) -> None:
        self.segment_bytes = max(4096, min(self.segment_bytes, self.max_bytes // 8))
        self._segments: deque[Segment] = deque()
        self._file: IO[bytes] | None = None
        self._unsynced = 0
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._memory_gone = 0  # events that have left it: the first one's number
        self._disk_refuses = False
        self._mark: IO[bytes] | None = None
        self._last_number = 0

    @property
    def events(self) -> int:
        return sum(s.events - s.trimmed.events for s in self._segments) + len(self._memory)

    @property
    def size(self) -> int:
        return sum(s.size - s.trimmed.byte for s in self._segments) + self._memory_bytes

    @property
    def end(self) -> Position:
        """Behind the newest event."""
        if self._memory:
            return Position(IN_MEMORY, 0, self._memory_gone + len(self._memory))
        if not self._segments:
            return Position()
        last = self._segments[-1]
        return Position(last.number, last.size, last.events)

    def events_after(self, position: Position) -> int:
        """How many are behind ``position``."""
        if position.segment == IN_MEMORY:
            return len(self._memory) - max(0, position.events - self._memory_gone)
        return len(self._memory) + sum(
            s.events - (max(s.trimmed, position) if s.number == position.segment else s.trimmed).events
            for s in self._segments
            if s.number >= position.segment
        )

    def open(self) -> None:
        """Find what an earlier run left. A directory that cannot be used is no reason to stop: see ``append``."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = sorted(path for path in self.directory.iterdir() if path.suffix == SUFFIX and path.stem.isdigit())
        except OSError as error:
            self._refused(error)
            return
        for path in found:
            try:
                segment = self._inspect(path)
            except OSError as error:
                log.warning("a spool segment cannot be read", extra={"path": path, "reason": error.strerror})
                continue
            self._last_number = segment.number
            if segment.events:
                self._segments.append(segment)
            else:
                path.unlink(missing_ok=True)
        self._take_up_mark()
        if self._segments:
            log.info("events are waiting in the spool", extra={"events": self.events, "bytes": self.size})
        self._bound()

    def append(self, lines: Sequence[bytes]) -> None:
        """Keep these events, on disk, or in memory while the disk refuses; the oldest are dropped beyond the bounds."""
        if not lines:
            return
        self._memory.extend(lines)
        self._memory_bytes += sum(map(len, lines)) + len(lines)
        self._flush()
        while self._memory_bytes > self.memory_bytes:
            self._forget_first()
            self.lost.no_room += 1
        self._bound()

    def read(self, after: Position, most_bytes: int, until: Position | None = None) -> Batch | None:
        """The next events behind ``after`` and, on disk, up to ``until``: at least one and at most so many bytes;
        ``None`` when there are none.
        """
        self._flush()
        self._bound()
        for segment in list(self._segments):
            start = max(segment.trimmed, after) if after.segment == segment.number else segment.trimmed
            if segment.number < after.segment or start.byte >= segment.size:
                continue
            room = most_bytes
            if until is not None and segment.number >= until.segment:
                room = min(room, until.byte - start.byte if segment.number == until.segment else 0)
                if room <= 0:
                    return None
            batch = self._read(segment, start, room)
            if batch is not None:
                return batch
        if until is not None and until.segment != IN_MEMORY:
            return None
        return self._from_memory(after, most_bytes)

    def trim(self, until: Position) -> None:
        """Events up to here are no longer needed."""
        if until.segment == IN_MEMORY:
            while self._memory and self._memory_gone < until.events:
                self._forget_first()
            return
        while self._segments and (
            self._segments[0].number < until.segment
            or (self._segments[0].number == until.segment and until.byte >= self._segments[0].size)
        ):
            self._drop_first()
        if self._segments and self._segments[0].number == until.segment:
            self._segments[0].trimmed = max(self._segments[0].trimmed, until)
            self._leave_mark(self._segments[0].trimmed)

    def close(self) -> None:
        """On disk, as far as the disk takes it."""
        self._flush()
        self._sync()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._mark is not None:
            self._mark.close()
            self._mark = None
        if self._memory:
            self.lost.no_room += len(self._memory)
            log.error("events are lost, the spool's disk takes nothing", extra={"events": len(self._memory)})

    def _inspect(self, path: Path) -> Segment:
        segment = Segment(int(path.stem), path)
        last = b""
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn off
                segment.events += 1
                segment.size += len(line)
                last = line
        try:
            newest = _instant(last).ts
        except ValueError:
            newest = int(path.stat().st_mtime * 1000)
        age = max(0.0, (self.clock.now_ms() - newest) / 1000)
        segment.expires = self.clock.monotonic() + self.max_age - age
        return segment

    def _leave_mark(self, trimmed: Position) -> None:
        """Without it a restart sends a segment again from its beginning: a waste, no loss."""
        with suppress(OSError):
            if self._mark is None:
                self._mark = (self.directory / MARK).open("wb", buffering=0)
            os.pwrite(self._mark.fileno(), b"%020d %020d %020d\n" % trimmed, 0)

    def _take_up_mark(self) -> None:
        with suppress(OSError, ValueError):
            trimmed = Position(*map(int, (self.directory / MARK).read_bytes().split()[:3]))
            # A number is never used twice, or the mark of a segment long gone would pass over events of its namesake.
            self._last_number = max(self._last_number, trimmed.segment)
            for segment in self._segments:
                if segment.number == trimmed.segment and trimmed.byte <= segment.size:
                    segment.trimmed = Position(*trimmed[:2], min(trimmed.events, segment.events))

    def _flush(self) -> None:
        """Memory to disk, as much as the disk takes."""
        while self._memory:
            line = self._memory[0]
            try:
                segment = self._writable(len(line) + 1)
                self._write(segment, line + b"\n")
            except OSError as error:
                self._refused(error)
                return
            self._forget_first()
            segment.events += 1
            segment.expires = self.clock.monotonic() + self.max_age
        if self._disk_refuses:
            self._disk_refuses = False
            log.info("the spool's disk takes events again")

    def _writable(self, room: int) -> Segment:
        if self._file is None or self._segments[-1].size + room > self.segment_bytes:
            self._sync()
            if self._file is not None:
                self._file.close()
                self._file = None
            number = max(self.clock.now_ms(), self._last_number + 1)
            self._last_number = number
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self.directory / f"{number:020d}{SUFFIX}"
            self._file = path.open("xb", buffering=0)
            self._segments.append(Segment(number, path))
        return self._segments[-1]

    def _write(self, segment: Segment, data: bytes) -> None:
        assert self._file is not None
        try:
            written = self._file.write(data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            # Half a line must not be followed by others: cut it off, or leave this segment.
            try:
                self._file.truncate(segment.size)
                self._file.seek(segment.size)
            except OSError:
                self._file.close()
                self._file = None
            raise
        segment.size += len(data)
        self._unsynced += len(data)
        if self._unsynced >= SYNC_EVERY_BYTES:
            self._sync()

    def _sync(self) -> None:
        if self._file is not None and self._unsynced:
            try:
                os.fdatasync(self._file.fileno())
            except OSError as error:
                self._refused(error)
            self._unsynced = 0

    def _read(self, segment: Segment, start: Position, most_bytes: int) -> Batch | None:
        """``None`` when the rest of this segment cannot be read; it is then dropped and counted."""
        try:
            with segment.path.open("rb") as file:
                file.seek(start.byte)
                data = file.read(min(most_bytes, segment.size - start.byte))
                if b"\n" not in data:
                    data += file.readline()
        except OSError as error:
            log.warning("a spool segment cannot be read", extra={"path": segment.path, "reason": error.strerror})
            data = b""
        end = data.rfind(b"\n") + 1
        if not end:
            self.lost.unreadable += segment.events - start.events
            segment.trimmed = Position(segment.number, segment.size, segment.events)
            return None
        lines = data[: end - 1].split(b"\n")
        good = [line for line in lines if _readable(line)]
        self.lost.unreadable += len(lines) - len(good)
        return Batch(good, Position(segment.number, start.byte + end, start.events + len(lines)))

    def _from_memory(self, after: Position, most_bytes: int) -> Batch | None:
        lines: list[bytes] = []
        skip = max(0, after.events - self._memory_gone) if after.segment == IN_MEMORY else 0
        for line in islice(self._memory, skip, None):
            if lines and most_bytes < len(line):
                break
            most_bytes -= len(line)
            lines.append(line)
        return Batch(lines, Position(IN_MEMORY, 0, self._memory_gone + skip + len(lines))) if lines else None

    def _forget_first(self) -> None:
        self._memory_bytes -= len(self._memory.popleft()) + 1
        self._memory_gone += 1

    def _bound(self) -> None:
        now = self.clock.monotonic()
        while self._segments and self._segments[0].expires < now:
            self.lost.too_old += self._drop_first()
        while len(self._segments) > 1 and self.size > self.max_bytes:
            self.lost.too_many += self._drop_first()

    def _drop_first(self) -> int:
        segment = self._segments.popleft()
        if not self._segments and self._file is not None:
            self._file.close()
            self._file = None
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("a spool segment cannot be removed", extra={"path": segment.path, "reason": error.strerror})
        return segment.events - segment.trimmed.events

    def _refused(self, error: OSError) -> None:
        if not self._disk_refuses:
            self._disk_refuses = True
            log.error(
                "the spool cannot be written, events are kept in memory",
                extra={"path": self.directory, "reason": error.strerror or str(error), "bytes": self.memory_bytes},
            )


def _readable(line: bytes) -> bool:
    try:
        _instant(line)
    except ValueError:
        return False
    return True
