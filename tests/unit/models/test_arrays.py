"""What is read of a file that anybody may have written."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from shared.models import arrays
from shared.models.arrays import ModelError, packed, take, unpacked

GOOD = packed({"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2])})


class Boom:
    """Whoever unpickles it has lost."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit('a pickle was run')",)


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def member(array: np.ndarray, *, pickled: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=pickled)
    return out.getvalue()


def header(text: str, behind: bytes = b"") -> bytes:
    """An array's header of version 1.0, true or not."""
    line = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + behind


def claimed(shape: str, behind: bytes = b"") -> bytes:
    return header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}", behind)


POISON = {
    "a pickle": pickle.dumps(Boom()),
    "an old pickle": pickle.dumps(Boom(), protocol=0),
    "a pickle called npz inside": archive({"a.npy": pickle.dumps(Boom())}),
    "an object array": archive({"a.npy": member(np.array([Boom()], dtype=object), pickled=True)}),
    "truncated": GOOD[:-30],
    "only a beginning": GOOD[:100],
    "empty": b"",
    "text": b"not a model",
    "a bomb": archive({"a.npy": claimed("(1000000,)", bytes(8_000_000))}, zipfile.ZIP_DEFLATED),
    "a shape that is not there": archive({"a.npy": claimed("(1000000000000,)", bytes(8))}),
    "a negative shape": archive({"a.npy": claimed("(-1, -1)", bytes(8))}),
    "a shape beyond all numbers": archive({"a.npy": claimed("(0, 99999999999999999999)")}),
    "code for a header": archive({"a.npy": header("__import__('os').getcwd()", bytes(8))}),
    "a header without end": archive({"a.npy": header("(" * 5000)}),
    "a deep header": archive({"a.npy": header("-" * 3000 + "1")}),
    "single precision": archive({"a.npy": member(np.zeros(2, dtype="<f4"))}),
    "other byte order": archive({"a.npy": member(np.zeros(2, dtype=">f8"))}),
    "text in an array": archive({"a.npy": member(np.array(["a"]))}),
    "NaN": archive({"a.npy": member(np.array([1.0, np.nan]))}),
    "infinite": archive({"a.npy": member(np.array([np.inf]))}),
    "a path for a name": archive({"../a.npy": member(np.zeros(2))}),
    "no array": archive({"a.txt": b"hello"}),
    "too many": archive({f"a{n}.npy": member(np.zeros(1)) for n in range(arrays.MOST_MEMBERS + 1)}),
}


@pytest.mark.parametrize("data", POISON.values(), ids=POISON.keys())
def test_poison_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"\w{2}"):
        unpacked(data)


def test_a_flipped_byte_is_found() -> None:
    at = GOOD.index(np.array([5.0]).tobytes())
    with pytest.raises(ModelError):
        unpacked(GOOD[:at] + b"\x01" + GOOD[at + 1 :])


def test_too_large_is_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST_BYTES", len(GOOD) - 1)
    with pytest.raises(ModelError, match="more than"):
        unpacked(GOOD)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_do_anything_else(data: bytes) -> None:
    with pytest.raises(ModelError):
        unpacked(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_refused_or_harmless(at: int, byte: int) -> None:
    try:
        found = unpacked(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])
    except ModelError:
        return
    assert all(np.isfinite(a).all() for a in found.values())


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(str.isidentifier),
        arrays_of.arrays(np.float64, arrays_of.array_shapes(max_dims=2, max_side=4), elements=st.floats(-1e9, 1e9))
        | arrays_of.arrays(np.int64, arrays_of.array_shapes(max_dims=2, max_side=4)),
        max_size=4,
    )
)
def test_what_was_packed_comes_back(given: dict[str, np.ndarray]) -> None:
    data = packed(given)
    found = unpacked(data)
    assert found.keys() == given.keys()
    assert all(found[n].dtype == given[n].dtype and (found[n] == given[n]).all() for n in given)
    assert packed(found) == data
    assert not any(a.flags.writeable for a in found.values())


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [("c", "f", (None,)), ("a", "i", (2, 3)), ("a", "f", (3, 2)), ("a", "f", (6,)), ("a", "f", (2, 3, None))],
)
def test_an_array_of_another_shape_is_named(name: str, kind: str, shape: tuple[int | None, ...]) -> None:
    with pytest.raises(ModelError, match=f"'{name}'"):
        take(unpacked(GOOD), name, kind, *shape)


def test_an_array_of_the_right_shape_is_given() -> None:
    assert take(unpacked(GOOD), "a", "f", None, 3).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert take(unpacked(GOOD), "b", "i", 2).tolist() == [1, 2]
