"""Lines into a landing table, in as few inserts as can be; a line that the store refuses costs only itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from services.ingest.dead_letters import DeadLetter
from services.ingest.gate import Line
from shared.runtime import selfmetrics
from shared.store.port import DataRefused, Store

MAX_INSERT_BYTES = 64 << 20


async def write(store: Store, table: str, lines: Sequence[Line]) -> list[DeadLetter]:
    """On a normal return every line is durable, except those returned, which the store refused one by one.

    Raises ``StoreError`` when the store itself is in trouble: the same call again is right, and harmless.
    """
    dead: list[DeadLetter] = []
    for part in _portions(lines):
        dead += await _write(store, table, part)
    return dead


async def _write(store: Store, table: str, lines: Sequence[Line]) -> list[DeadLetter]:
    started = time.perf_counter()
    try:
        await store.insert_lines(table, b"\n".join([line.line for line in lines]))
    except DataRefused as refused:
        if len(lines) == 1:
            line = lines[0]
            return [DeadLetter(line.message, line.line, line.number, "store", str(refused))]
        half = len(lines) // 2
        return [*await _write(store, table, lines[:half]), *await _write(store, table, lines[half:])]
    selfmetrics.INGEST_INSERT_SECONDS.observe(time.perf_counter() - started, table)
    selfmetrics.INGEST_EVENTS.add(len(lines), table)
    return []


def _portions(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    start = size = 0
    for end, line in enumerate(lines):
        if size and size + len(line.line) > MAX_INSERT_BYTES:
            yield lines[start:end]
            start, size = end, 0
        size += len(line.line)
    if lines:
        yield lines[start:]
