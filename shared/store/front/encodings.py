"""Compression of HTTP bodies, both ways. A body may hold many frames one after another: all of them count (FACTS)."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from shared.store.front.refusal import DECOMPRESSION, NOT_IMPLEMENTED, Refused

PIECE = 1 << 20  # bytes that come out of a decoder at a time, so that a small body cannot fill the memory at once


class Decoder(Protocol):
    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes:
        """What is left. Raises ``Refused`` where the body stops in the middle of a frame."""
        ...


class Plain:
    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _Frames:
    """Frame after frame, each with a decompressor of its own."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self._name = name
        self._make = make
        self._current: Any = None

    def feed(self, data: bytes) -> bytes:
        out = []
        try:
            while data:
                if self._current is None:
                    self._current = self._make()
                out.append(self._current.decompress(data))
                data = b""
                if self._current.eof:
                    data, self._current = self._current.unused_data or b"", None
        except Exception as error:
            raise Refused(DECOMPRESSION, f"the body is not {self._name}: {error}") from None
        return b"".join(out)

    def end(self) -> bytes:
        if self._current is not None:
            raise Refused(DECOMPRESSION, f"the {self._name} body ends in the middle of a frame")
        return b""


def decoder(encoding: str) -> Decoder:
    """Raises ``Refused`` for one we do not know."""
    match encoding.strip().lower():
        case "" | "identity":
            return Plain()
        case "gzip" | "x-gzip":
            return _Frames("gzip", lambda: zlib.decompressobj(wbits=31))
        case "deflate":
            return _Frames("deflate", lambda: zlib.decompressobj(wbits=15))
        case "lz4":
            return _Frames("lz4", importlib.import_module("lz4.frame").LZ4FrameDecompressor)
        case "zstd":
            return _Frames("zstd", zstd().ZstdDecompressor)
        case other:
            raise Refused(NOT_IMPLEMENTED, f"Content-Encoding {other[:20]!r} is not known here: use gzip, lz4 or zstd")


class Encoder(Protocol):
    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.compressobj(3, wbits=31)

    def feed(self, data: bytes) -> bytes:
        return self._inner.compress(data)

    def end(self) -> bytes:
        return self._inner.flush()


class _Lz4:
    def __init__(self) -> None:
        self._inner = importlib.import_module("lz4.frame").LZ4FrameCompressor()
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        head = b"" if self._begun else self._inner.begin()
        self._begun = True
        return bytes(head + self._inner.compress(data))

    def end(self) -> bytes:
        return bytes(self.feed(b"") + self._inner.flush())


class _Zstd:
    def __init__(self) -> None:
        self._inner = zstd().ZstdCompressor(level=1)

    def feed(self, data: bytes) -> bytes:
        return bytes(self._inner.compress(data))

    def end(self) -> bytes:
        return bytes(self._inner.flush())


_ENCODERS: dict[str, Callable[[], Encoder]] = {"lz4": _Lz4, "zstd": _Zstd, "gzip": _Gzip}


def accepted(header: str) -> str:
    """The encoding to answer in: the first we know of those that are accepted; empty for none."""
    for part in header.split(","):
        name, _, weight = part.strip().partition(";")
        if name.strip().lower() in _ENCODERS and weight.replace(" ", "") not in ("q=0", "q=0.0"):
            return name.strip().lower()
    return ""


def encoder(encoding: str) -> Encoder:
    return _ENCODERS[encoding]() if encoding else _Identity()


class _Identity:
    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


def zstd() -> Any:
    """Python's own from 3.14 on; before that the one that clickhouse-connect brings."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise Refused(NOT_IMPLEMENTED, "zstd is not installed here: use gzip or lz4")
