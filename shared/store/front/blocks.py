"""ClickHouse's own bytes: blocks of the Native format, and the frames of ``compress=1`` and ``decompress=1``."""

from __future__ import annotations

from collections.abc import Sequence


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def empty_native(columns: Sequence[tuple[str, str]]) -> bytes:
    """A Native block of no rows: names and types of the columns."""
    parts = [varint(len(columns)), varint(0)]
    for column in columns:
        for text in column:
            data = text.encode()
            parts += [varint(len(data)), data]
    return b"".join(parts)
