"""A host's state as bytes: a version, names, numbers and plain arrays in msgpack; reading it runs nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

VERSION = 3
_MOST_BYTES = 64 * 1024 * 1024
_TYPES = {"f8": np.dtype("<f8"), "i8": np.dtype("<i8")}


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    type: str
    shape: list[int]
    data: bytes


class _State(msgspec.Struct, forbid_unknown_fields=True):
    what: str
    version: int
    names: list[str]
    numbers: dict[str, float | int]
    arrays: dict[str, _Array]


def pack(names: Sequence[str], numbers: Mapping[str, float | int], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Numbers and arrays of float64 or int64."""
    kept = {
        n: _Array(f"{a.dtype.kind}8", list(a.shape), a.astype(f"<{a.dtype.kind}8").tobytes()) for n, a in arrays.items()
    }
    return msgspec.msgpack.encode(_State("detector.core", VERSION, list(names), dict(numbers), kept))


def unpack(data: bytes, most_names: int) -> tuple[list[str], dict[str, float | int], dict[str, NDArray[Any]]]:
    """Raises ValueError with the reason for whatever ``pack`` of this version did not write."""
    if len(data) > _MOST_BYTES:
        raise ValueError("the detector's state is too large to be one")
    try:
        state = msgspec.msgpack.decode(data, type=_State)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise ValueError(f"not a state of the detector: {problem}") from problem
    if state.what != "detector.core" or state.version != VERSION:
        raise ValueError(f"a state of {state.what!r} version {state.version}; this detector reads version {VERSION}")
    if len(state.names) > most_names or len(set(state.names)) != len(state.names):
        raise ValueError("the detector's state names metrics twice or too many of them")
    if not all(math.isfinite(n) for n in state.numbers.values()):
        raise ValueError("the detector's state holds a number that is not finite")
    return state.names, state.numbers, {name: _array(name, a) for name, a in state.arrays.items()}


def same_shapes(arrays: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> None:
    """Raises ValueError unless both have the same names, shapes and types."""
    if arrays.keys() != wanted.keys():
        raise ValueError(f"the detector's state has other arrays: {sorted(arrays.keys() ^ wanted.keys())}")
    for name, a in arrays.items():
        if a.shape != wanted[name].shape or a.dtype.kind != wanted[name].dtype.kind:
            raise ValueError(f"the detector's state has {name} in another shape: {a.shape}, not {wanted[name].shape}")


def _array(name: str, packed: _Array) -> NDArray[Any]:
    kind = _TYPES.get(packed.type)
    if kind is None or any(n < 0 for n in packed.shape) or math.prod(packed.shape) * 8 != len(packed.data):
        raise ValueError(f"the detector's state has a broken array: {name}")
    array = np.frombuffer(packed.data, dtype=kind).reshape(packed.shape).astype(kind.newbyteorder("="))
    if kind.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"the detector's state has values in {name} that are not finite")
    return array
