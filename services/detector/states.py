"""Where what is known of each host is kept, so that a detector that was killed, or another, goes on from there.

A state says up to which offset of its partition of the metrics topic it has learned. On a broker that keeps what it
is given, that is a compacted topic: a host's state is in the partition of the same number, so it moves with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import cramjam
import msgspec

from shared.bus import kafka
from shared.bus.port import Publisher
from shared.runtime import whole_file
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import STATES, Topic

LARGEST = 64 << 20
"""Bytes of a state; what unpacks to more is none."""


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """``offset``: of the first message of the partition that was not learned. ``untold``: what was still to be said of
    the host, as it goes on the wire. ``last_ms``: the host's last event.
    """

    host_id: str
    offset: int
    state: bytes
    untold: list[bytes] = []
    last_ms: int = 0


class States(Protocol):
    async def load(self, partition: int) -> Sequence[Saved | str]:
        """The newest of each host, or a sentence about one that cannot be read. Raises ``BusError``, ``OSError``."""
        ...

    async def save(self, partition: int, saved: Saved) -> None:
        """Raises ``BusError``, ``OSError``."""
        ...

    async def forget(self, partition: int, host_id: str) -> None:
        """Nothing is left of it. Raises ``BusError``, ``OSError``."""
        ...


@dataclass
class TopicStates:
    settings: KafkaSettings
    publisher: Publisher
    topic: Topic = STATES

    async def load(self, partition: int) -> Sequence[Saved | str]:
        newest: dict[bytes, bytes | None] = {}
        async for batch in kafka.span(self.settings, self.topic, partition, 0, None, "lapwing-detector-states"):
            newest.update((m.key or b"", m.value) for m in batch)
        return [_read(value, key.decode(errors="replace")) for key, value in newest.items() if value]

    async def save(self, partition: int, saved: Saved) -> None:
        await self.publisher.publish(self.topic, saved.host_id, _packed(saved))

    async def forget(self, partition: int, host_id: str) -> None:
        await self.publisher.publish(self.topic, host_id, None)


@dataclass
class FileStates:
    """A file a host, for a broker that forgets. Of such a broker no offset outlives it."""

    directory: Path

    async def load(self, partition: int) -> Sequence[Saved | str]:
        return [self._from(file) for file in sorted(self._of(partition).glob("*.state"))]

    async def save(self, partition: int, saved: Saved) -> None:
        file = self._file(partition, saved.host_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        whole_file.replace(file, _packed(msgspec.structs.replace(saved, offset=0)))

    async def forget(self, partition: int, host_id: str) -> None:
        self._file(partition, host_id).unlink(missing_ok=True)

    def _file(self, partition: int, host_id: str) -> Path:
        return self._of(partition) / f"{blake2b(host_id.encode(), digest_size=12).hexdigest()}.state"

    def _from(self, file: Path) -> Saved | str:
        """A file that cannot be opened costs its host only, as one that cannot be understood does."""
        try:
            return _read(file.read_bytes(), str(file))
        except OSError as error:
            return f"what was saved in {file} cannot be read: {error.strerror}"

    def _of(self, partition: int) -> Path:
        return self.directory / str(partition)


def _packed(saved: Saved) -> bytes:
    return bytes(cramjam.zstd.compress(msgspec.msgpack.encode(saved), 3))


def _read(value: bytes, name: str) -> Saved | str:
    try:
        room = bytearray(min(LARGEST, max(1 << 16, 100 * len(value))))
        size = cramjam.zstd.decompress_into(value, room)
        return msgspec.msgpack.decode(memoryview(room)[:size], type=Saved)
    except Exception as error:
        return f"what was saved of {name} cannot be read: {error or type(error).__name__}"
