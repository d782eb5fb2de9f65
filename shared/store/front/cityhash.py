"""CityHash128 in its version 1.0.2, which ClickHouse signs its compressed blocks with. Pure Python, so not for much."""

from __future__ import annotations

import struct

_MASK = (1 << 64) - 1
_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F
_K3 = 0xC949D7C7509E6557
_MUL = 0x9DDFEA08EB382D69

_ROUND = struct.Struct("<8Q")


def cityhash128(data: bytes) -> bytes:
    """The 16 bytes that ClickHouse puts before a block: low half first."""
    size = len(data)
    if size >= 16:
        low, high = _two_halves(data[16:], _u64(data, 0) ^ _K3, _u64(data, 8))
    elif size >= 8:
        low, high = _two_halves(b"", _u64(data, 0) ^ (size * _K0 & _MASK), _u64(data, size - 8) ^ _K1)
    else:
        low, high = _two_halves(data, _K0, _K1)
    return struct.pack("<2Q", low, high)


def _two_halves(data: bytes, low: int, high: int) -> tuple[int, int]:
    return _short(data, low, high) if len(data) < 128 else _long(data, low, high)


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _rotated(value: int, by: int) -> int:
    return value if by == 0 else (value >> by | value << (64 - by)) & _MASK


def _mixed(value: int) -> int:
    return value ^ value >> 47


def _joined(u: int, v: int) -> int:
    a = _mixed((u ^ v) * _MUL & _MASK)
    return _mixed((v ^ a) * _MUL & _MASK) * _MUL & _MASK


def _upto_16(data: bytes) -> int:
    size = len(data)
    if size > 8:
        a, b = _u64(data, 0), _u64(data, size - 8)
        return _joined(a, _rotated((b + size) & _MASK, size)) ^ b
    if size >= 4:
        a = int.from_bytes(data[:4], "little")
        return _joined((size + (a << 3)) & _MASK, int.from_bytes(data[-4:], "little"))
    if size > 0:
        y = data[0] + (data[size >> 1] << 8)
        z = size + (data[-1] << 2)
        return _mixed((y * _K2 ^ z * _K3) & _MASK) * _K2 & _MASK
    return _K2


def _short(data: bytes, a: int, b: int) -> tuple[int, int]:
    size = len(data)
    if size <= 16:
        a = _mixed(a * _K1 & _MASK) * _K1 & _MASK
        c = (b * _K1 + _upto_16(data)) & _MASK
        d = _mixed((a + (_u64(data, 0) if size >= 8 else c)) & _MASK)
    else:
        c = _joined((_u64(data, size - 8) + _K1) & _MASK, a)
        d = _joined((b + size) & _MASK, (c + _u64(data, size - 16)) & _MASK)
        a = (a + d) & _MASK
        at, left = 0, size - 16
        while True:
            a = (a ^ _mixed(_u64(data, at) * _K1 & _MASK) * _K1 & _MASK) * _K1 & _MASK
            b ^= a
            c = (c ^ _mixed(_u64(data, at + 8) * _K1 & _MASK) * _K1 & _MASK) * _K1 & _MASK
            d ^= c
            at, left = at + 16, left - 16
            if left <= 0:
                break
    a = _joined(a, c)
    b = _joined(d, b)
    return a ^ b, _joined(b, a)


def _weak(w: int, x: int, y: int, z: int, a: int, b: int) -> tuple[int, int]:
    a = (a + w) & _MASK
    b = _rotated((b + a + z) & _MASK, 21)
    c = a
    a = (a + x + y) & _MASK
    b = (b + _rotated(a, 44)) & _MASK
    return (a + z) & _MASK, (b + c) & _MASK


def _long(data: bytes, x: int, y: int) -> tuple[int, int]:
    size = len(data)
    z = size * _K1 & _MASK
    v0 = (_rotated(y ^ _K1, 49) * _K1 + _u64(data, 0)) & _MASK
    v1 = (_rotated(v0, 42) * _K1 + _u64(data, 8)) & _MASK
    w0 = (_rotated((y + z) & _MASK, 35) * _K1 + x) & _MASK
    w1 = _rotated((x + _u64(data, 88)) & _MASK, 53) * _K1 & _MASK
    rounds = size // 128 * 2
    for s in _ROUND.iter_unpack(memoryview(data)[: rounds * 64]):
        x = _rotated((x + y + v0 + s[2]) & _MASK, 37) * _K1 & _MASK
        y = _rotated((y + v1 + s[6]) & _MASK, 42) * _K1 & _MASK
        x ^= w1
        y ^= v0
        z = _rotated(z ^ w0, 33)
        v0, v1 = _weak(s[0], s[1], s[2], s[3], v1 * _K1 & _MASK, (x + w0) & _MASK)
        w0, w1 = _weak(s[4], s[5], s[6], s[7], (z + w1) & _MASK, y)
        z, x = x, z
    y = (y + _rotated(w0, 37) * _K0 + z) & _MASK
    x = (x + _rotated((v0 + z) & _MASK, 49) * _K0) & _MASK
    done, left = 0, size % 128
    while done < left:
        done += 32
        t0, t1, t2, t3 = (_u64(data, size - done + 8 * n) for n in range(4))
        y = (_rotated((y - x) & _MASK, 42) * _K0 + v1) & _MASK
        w0 = (w0 + t2) & _MASK
        x = (_rotated(x, 49) * _K0 + w0) & _MASK
        w0 = (w0 + v0) & _MASK
        v0, v1 = _weak(t0, t1, t2, t3, v0, v1)
    x, y = _joined(x, v0), _joined(y, w0)
    return (_joined((x + v1) & _MASK, w1) + y) & _MASK, _joined((x + w1) & _MASK, (y + v1) & _MASK)
