"""Named numpy arrays as an uncompressed ``.npz``, read without trusting a byte of it.

Nothing here runs what a file says, and nothing is allocated beyond what the file holds: members are stored, not
compressed, so that none unfolds into more than was read, and an array's header must agree with the bytes behind it.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 64 << 20
MOST_MEMBERS = 64
_MOST_HEADER = 4096
_TYPES = {"<f8", "<i8"}

Arrays = Mapping[str, NDArray[Any]]


class ModelError(ValueError):
    """A model cannot be read, used or written; the message says which and why."""


def packed(arrays: Arrays) -> bytes:
    """Arrays of float64 or int64; the same bytes for the same arrays."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            array = np.ascontiguousarray(arrays[name])
            np.lib.format.write_array(member, array.astype(f"<{array.dtype.kind}8"), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return out.getvalue()


def unpacked(data: bytes) -> dict[str, NDArray[Any]]:
    """Read-only arrays by name; all numbers are finite. Raises ``ModelError`` on whatever ``packed`` does not write."""
    if len(data) > MOST_BYTES:
        raise ModelError(f"{len(data)} bytes are more than the {MOST_BYTES} of the largest model")
    if data[:1] == b"\x80":
        raise ModelError("it is a pickle, and those are never read")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check(members, len(data))
            return {_name(member): _array(member.filename, archive.read(member)) for member in members}
    except ModelError:
        raise
    # A crafted archive finds ways into the standard library that its documentation does not list.
    except Exception as problem:
        raise ModelError(f"it is no readable archive of arrays: {problem}") from None


def _check(members: list[zipfile.ZipInfo], whole: int) -> None:
    if len(members) > MOST_MEMBERS or len({m.filename for m in members}) != len(members):
        raise ModelError("it holds too many arrays, or two of one name")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ModelError(f"{member.filename!r} is compressed, which no model is")
    if sum(member.file_size for member in members) > whole:
        raise ModelError("its arrays claim to be larger than the file")


def _name(member: zipfile.ZipInfo) -> str:
    name, dot, ending = member.filename.rpartition(".")
    if not dot or ending != "npy" or not name.isidentifier():
        raise ModelError(f"{member.filename!r} is no array")
    return name


def _array(name: str, data: bytes) -> NDArray[Any]:
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ModelError(f"{name!r} is an array of another format")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_MOST_HEADER)
    if dtype.hasobject or dtype.str not in _TYPES:
        raise ModelError(f"{name!r} holds {dtype}, not float64 or int64")
    behind = len(data) - stream.tell()
    if by_columns or any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != behind:
        raise ModelError(f"{name!r} says it is of shape {shape}, and {behind} bytes follow")
    array = np.frombuffer(data, dtype=dtype, offset=stream.tell()).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ModelError(f"{name!r} holds numbers that are not finite")
    return array


def take(arrays: Arrays, name: str, kind: str, *shape: int | None) -> NDArray[Any]:
    """``arrays[name]`` as a native array of ``kind`` ``f`` or ``i``; ``None`` in ``shape`` is any length above zero.

    Raises ``ModelError`` where it is missing or of another kind or shape.
    """
    array = arrays.get(name)
    if array is None:
        raise ModelError(f"the array {name!r} is missing")
    fits = len(array.shape) == len(shape) and all(
        have == want if want is not None else have > 0 for have, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype.kind != kind or not fits:
        wanted = "x".join("any" if n is None else str(n) for n in shape)
        raise ModelError(f"the array {name!r} is {array.dtype} of shape {array.shape}, not {kind}8 of {wanted}")
    return np.ascontiguousarray(array, dtype=np.float64 if kind == "f" else np.intp)
