"""Bodies that come packed, unpacked as they arrive and never beyond a limit: a bomb costs no more than the limit."""

from __future__ import annotations

import sys
import zlib
from typing import Protocol

from services.api import messages
from services.api.errors import ApiError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ENCODINGS = ("zstd", "gzip", "identity")
MOST_FRAMES = 1000  # of one body: empty ones cost time without ever reaching the limit
LARGEST_WINDOW = 23  # 8 MiB, as 2 to the power of: what a zstd frame may have us keep in memory


class _Decompressor(Protocol):
    """One frame, or member: what zlib and zstd have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Unpacker:
    """``feed`` what arrives, then take ``finish``. ``size`` is what is in memory by now."""

    def __init__(self, encoding: str, most: int) -> None:
        """``encoding`` is a Content-Encoding, empty for none. Raises ``ApiError`` 415 on one we cannot unpack."""
        self._encoding = encoding.strip().lower() or "identity"
        if self._encoding not in ENCODINGS:
            known = ", ".join(ENCODINGS)
            raise ApiError(415, messages.UNKNOWN_ENCODING.of(known=known), {"Accept-Encoding": "zstd, gzip"})
        self._most = most
        self._out = bytearray()
        self._frame: _Decompressor | None = None
        self._frames = 0

    @property
    def size(self) -> int:
        return len(self._out)

    def feed(self, chunk: bytes) -> None:
        """Raises ``ApiError`` 413 as soon as the whole is too large, 400 on what cannot be unpacked."""
        if self._encoding == "identity":
            self._take(chunk)
            return
        while chunk:
            if self._frame is None or self._frame.eof:
                self._frame = self._next_frame()
            try:
                self._take(self._frame.decompress(chunk, self._most - self.size + 1))
            except (zlib.error, zstd.ZstdError, EOFError):
                raise self._broken() from None
            chunk = self._frame.unused_data

    def finish(self) -> bytes:
        """All of it. Raises ``ApiError`` 400 when the end is missing."""
        if self._frame is not None and not self._frame.eof:
            raise self._broken()
        return bytes(self._out)

    def _take(self, piece: bytes) -> None:
        if self.size + len(piece) > self._most:
            self._out.clear()
            raise ApiError(413, messages.UNPACKED_TOO_LARGE.of(most=self._most))
        self._out += piece

    def _next_frame(self) -> _Decompressor:
        self._frames += 1
        if self._frames > MOST_FRAMES:
            raise self._broken()
        if self._encoding == "gzip":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: LARGEST_WINDOW})

    def _broken(self) -> ApiError:
        return ApiError(400, messages.CANNOT_UNPACK.of(encoding=self._encoding))
