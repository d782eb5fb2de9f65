"""Native blocks as a client of a newer protocol reads them: chDB writes the oldest form, so what the client's revision
adds is put in here. That needs the length of every column, hence this walk over ClickHouse's types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.store.front.refusal import NOT_IMPLEMENTED, Refused

SERIALIZATION_KINDS = 54454
"""From this revision on a byte before each column says that it is serialized in the usual way."""

_BLOCK_INFO = bytes([1, 0, 2]) + (-1).to_bytes(4, "little", signed=True) + bytes([0])

_SIZES = {
    "Bool": 1,
    "Int8": 1,
    "UInt8": 1,
    "Enum8": 1,
    "Nothing": 1,
    "Int16": 2,
    "UInt16": 2,
    "Enum16": 2,
    "Date": 2,
    "BFloat16": 2,
    "Int32": 4,
    "UInt32": 4,
    "Float32": 4,
    "Date32": 4,
    "DateTime": 4,
    "Time": 4,
    "IPv4": 4,
    "Decimal32": 4,
    "Int64": 8,
    "UInt64": 8,
    "Float64": 8,
    "DateTime64": 8,
    "Time64": 8,
    "Decimal64": 8,
    "Int128": 16,
    "UInt128": 16,
    "UUID": 16,
    "IPv6": 16,
    "Decimal128": 16,
    "Int256": 32,
    "UInt256": 32,
    "Decimal256": 32,
}


def with_revision(data: bytes, revision: int) -> bytes:
    """``data`` is blocks of revision 0. Raises ``Refused`` for a type whose length cannot be told."""
    if revision <= 0 or not data:
        return data
    out, walk = [], _Walk(data)
    kinds = b"\0" if revision >= SERIALIZATION_KINDS else b""
    while walk.at < len(data):
        start = walk.at
        columns, rows = walk.varint(), walk.varint()
        out += [_BLOCK_INFO, data[start : walk.at]]
        for _ in range(columns):
            start = walk.at
            walk.string()
            kind = walk.string().decode()
            out += [data[start : walk.at], kinds]
            start = walk.at
            if rows:
                walk.prefix(kind)
                walk.column(kind, rows)
            out.append(data[start : walk.at])
    return b"".join(out)


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def string(self) -> bytes:
        size = self.varint()
        self.at += size
        return self._data[self.at - size : self.at]

    def number(self) -> int:
        self.at += 8
        return int.from_bytes(self._data[self.at - 8 : self.at], "little")

    def prefix(self, kind: str) -> None:
        """What comes before a column's data: the version of each dictionary within."""
        name, inner = _parts(kind)
        if name == "LowCardinality":
            self.at += 8
        for part in inner:
            self.prefix(part)

    def column(self, kind: str, rows: int) -> None:
        name, inner = _parts(kind)
        if not rows:
            return
        if size := _size(name, kind):
            self.at += size * rows
        elif name == "String":
            for _ in range(rows):
                self.string()
        elif name == "Nullable":
            self.at += rows
            self.column(inner[0], rows)
        elif name == "Array":
            self.at += 8 * (rows - 1)
            self.column(inner[0], self.number())  # the last offset is how many there are
        elif name == "Tuple":
            for part in inner:
                self.column(part, rows)
        elif name == "LowCardinality":
            self._dictionary(inner[0])
        else:
            raise Refused(
                NOT_IMPLEMENTED,
                f"a column of type {kind[:80]} cannot be sent to this client from the embedded store; "
                "ask for toString(…) of it",
            )

    def _dictionary(self, kind: str) -> None:
        flags = self.number()
        if flags & 1 << 9:
            name, inner = _parts(kind)
            self.column(inner[0] if name == "Nullable" else kind, self.number())
        rows = self.number()
        self.at += rows << (flags & 255)


def _parts(kind: str) -> tuple[str, list[str]]:
    """The name of a type and the types within it."""
    name, _, rest = kind.partition("(")
    rest = rest.removesuffix(")")
    if name in ("Nullable", "Array", "LowCardinality"):
        return name, [rest]
    if name == "Tuple":
        return name, [_without_name(part) for part in _split(rest)]
    if name == "Map":
        return "Array", [f"Tuple({rest})"]
    if name == "Nested":
        return "Array", [f"Tuple({rest})"]
    if name == "SimpleAggregateFunction":
        return _parts(_split(rest)[-1])
    if name == "Point":
        return "Tuple", ["Float64", "Float64"]
    return name, []


def _size(name: str, kind: str) -> int:
    if name == "FixedString":
        return int(kind[len("FixedString(") : -1])
    if name == "Decimal":
        digits = int(kind[len("Decimal(") :].split(",")[0])
        return 4 if digits <= 9 else 8 if digits <= 18 else 16 if digits <= 38 else 32
    return 8 if name.startswith("Interval") else _SIZES.get(name, 0)


def _split(text: str) -> list[str]:
    return [part.strip() for part in _parted(text)]


def _parted(text: str) -> Iterator[str]:
    depth, start = 0, 0
    quote = ""
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[at - 1] != "\\" else quote
        elif sign in "'`":
            quote = sign
        elif sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
        elif sign == "," and not depth:
            yield text[start:at]
            start = at + 1
    if text[start:].strip():
        yield text[start:]


def _without_name(part: str) -> str:
    """An element of a tuple may have a name before its type."""
    found = re.match(r"(?:`(?:[^`\\]|\\.)*`|\w+)\s+(?=[A-Za-z])", part)
    return part[found.end() :] if found else part
