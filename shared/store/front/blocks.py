"""ClickHouse's own bytes: blocks of the Native format, and the frames of ``compress=1`` and ``decompress=1``."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Sequence

from shared.store.front.cityhash import cityhash128
from shared.store.front.encodings import zstd
from shared.store.front.refusal import DECOMPRESSION, Refused


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


_HEAD = struct.Struct("<BII")
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_LARGEST = 1 << 26  # bytes of one block, packed or not
PIECE = 1 << 16


class BlockDecoder:
    """Of ``decompress=1``. Each block: 16 bytes of CityHash128, method, size with this head, size unpacked, data."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Raises ``Refused`` where the bytes are no blocks or were changed on the way."""
        self._held += data
        out = []
        while len(self._held) >= 25:
            method, size, unpacked = _HEAD.unpack_from(self._held, 16)
            if not 9 <= size <= _LARGEST or unpacked > _LARGEST:
                raise Refused(DECOMPRESSION, "the body is not made of ClickHouse's compressed blocks")
            if len(self._held) < 16 + size:
                break
            block = bytes(self._held[16 : 16 + size])
            if cityhash128(block) != self._held[:16]:
                raise Refused(DECOMPRESSION, "the checksum of a compressed block does not match")
            out.append(_unpacked(method, block[9:], unpacked))
            del self._held[: 16 + size]
        return b"".join(out)

    def end(self) -> bytes:
        if self._held:
            raise Refused(DECOMPRESSION, "the body ends in the middle of a compressed block")
        return b""


def _unpacked(method: int, data: bytes, size: int) -> bytes:
    try:
        if method == _LZ4:
            out = bytes(importlib.import_module("lz4.block").decompress(data, uncompressed_size=size))
        elif method == _ZSTD:
            out = bytes(zstd().decompress(data))
        elif method == _NONE:
            out = data
        else:
            raise Refused(DECOMPRESSION, f"compression method {method:#x} is not known here")
    except (ValueError, RuntimeError) as error:
        raise Refused(DECOMPRESSION, f"a compressed block cannot be read: {error}") from None
    if len(out) != size:
        raise Refused(DECOMPRESSION, "a compressed block is not as long as it says")
    return out


class BlockEncoder:
    """Of ``compress=1``: LZ4, as a server's default; an error is packed as well."""

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._block(data[at : at + PIECE]) for at in range(0, len(data), PIECE))

    def end(self) -> bytes:
        return b""

    def _block(self, data: bytes) -> bytes:
        packed = bytes(importlib.import_module("lz4.block").compress(data, store_size=False))
        block = _HEAD.pack(_LZ4, len(packed) + 9, len(data)) + packed
        return cityhash128(block) + block
