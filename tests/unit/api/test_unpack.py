"""Packed bodies: read as they are, never beyond the limit."""

from __future__ import annotations

import gzip
import tracemalloc

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.errors import ApiError
from services.api.unpack import MOST_FRAMES, Unpacker

MOST = 1 << 20
PACK = {"gzip": gzip.compress, "zstd": lambda data: bytes(cramjam.zstd.compress(data)), "identity": bytes}


def unpacked(encoding: str, data: bytes, piece: int = 1000, most: int = MOST) -> bytes:
    unpacker = Unpacker(encoding, most)
    for at in range(0, len(data), piece):
        unpacker.feed(data[at : at + piece])
    return unpacker.finish()


def refused(encoding: str, data: bytes, piece: int = 1000) -> int:
    with pytest.raises(ApiError) as refusal:
        unpacked(encoding, data, piece)
    return refusal.value.status


@pytest.mark.parametrize("encoding", PACK)
@given(parts=st.lists(st.binary(max_size=3000), max_size=4), piece=st.integers(1, 5000))
def test_what_was_packed_comes_back_however_it_is_cut(encoding: str, parts: list[bytes], piece: int) -> None:
    packed = b"".join(PACK[encoding](part) for part in parts)  # several frames one after the other are one body
    assert unpacked(encoding, packed, piece) == b"".join(parts)


@pytest.mark.parametrize("encoding", PACK)
def test_the_limit_is_exact(encoding: str) -> None:
    assert len(unpacked(encoding, PACK[encoding](b"x" * MOST))) == MOST
    assert refused(encoding, PACK[encoding](b"x" * (MOST + 1))) == 413


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("piece", [100, 1 << 20])
def test_a_bomb_never_unpacks_whole(encoding: str, piece: int) -> None:
    bomb = PACK[encoding](b"\0" * (64 << 20))
    tracemalloc.start()
    try:
        assert refused(encoding, bomb, piece) == 413
        assert tracemalloc.get_traced_memory()[1] < 6 * MOST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_is_broken_is_said_to_be_broken(encoding: str) -> None:
    whole = PACK[encoding](b"an event\n" * 100)
    assert refused(encoding, whole[:-3]) == 400, "the end is missing"
    assert refused(encoding, b"not packed at all") == 400
    assert refused(encoding, whole + b"and something else") == 400
    assert refused(encoding, PACK[encoding](b"") * (MOST_FRAMES + 1)) == 400, "nothing, at great length"
    assert unpacked(encoding, b"") == b""


def test_a_frame_that_wants_a_vast_window_is_refused() -> None:
    # A header that asks for 2 GiB: no single segment, no checksum, window descriptor 0xA8.
    assert refused("zstd", b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00") == 400


@pytest.mark.parametrize("encoding", ["br", "gzip, zstd", "deflate", "\0"])
def test_other_encodings_are_refused_and_told_which_are_known(encoding: str) -> None:
    with pytest.raises(ApiError) as refusal:
        Unpacker(encoding, MOST)
    assert refusal.value.status == 415
    assert refusal.value.headers["Accept-Encoding"] == "zstd, gzip"


@pytest.mark.parametrize("encoding", ["", "identity", " GZIP "])
def test_names_of_encodings_are_read_kindly(encoding: str) -> None:
    assert Unpacker(encoding, MOST).finish() == b""
