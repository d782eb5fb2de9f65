"""A labelled CSV: one or more columns of numbers, and one that says which rows are overload. Pure but for ``read``.

Tolerant of what spreadsheets do: a header or none, commas, semicolons or tabs, a byte order mark, percent signs,
decimal commas where the separator is another, empty lines, columns of text and of times between those that matter.
Not tolerant of what cannot be understood: it is refused with the number of its line.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from services.train.labelled import Labelled, TrainError

MOST_BYTES = 256 << 20
MOST_ROWS = 1_000_000
_LABELS = (
    *("label", "overload", "overloaded", "is_overload", "cpu_overload"),
    *("target", "class", "y", "anomaly", "status"),
)
"""What the column of labels is usually called, the likeliest first."""
_ASIDE = ("time", "timestamp", "date", "datetime", "ts", "host", "host_id", "id", "index", "")
"""Columns that are no values, even where they hold numbers."""
_OVERLOAD = {"1", "1.0", "true", "yes", "y", "t", "overload", "overloaded", "anomaly", "abnormal", "high"}
_NORMAL = {"0", "0.0", "false", "no", "n", "f", "normal", "ok", "idle", "low"}

Row = tuple[int, list[str]]
"""The number of its line, and its cells."""


def read(file: Path, values: Sequence[str] = (), label: str | None = None) -> Labelled:
    """Raises ``TrainError``."""
    try:
        with file.open("rb") as handle:
            data = handle.read(MOST_BYTES + 1)
    except OSError as problem:
        raise TrainError(f"cannot read {str(file)!r}: {problem.strerror}") from None
    if len(data) > MOST_BYTES:
        raise TrainError(f"{file.name}: larger than {MOST_BYTES >> 20} MB")
    return parse(data, file.name, values, label)


def parse(data: bytes, name: str, values: Sequence[str] = (), label: str | None = None) -> Labelled:
    """``values``, ``label``: columns by their header; without them the label is the column called like one, else the
    last, and values are all others that hold numbers. Raises ``TrainError``.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        raise TrainError(f"{name}, line {line}: this is not UTF-8 text") from None
    separator = _separator(text)
    rows = _rows(text, name, separator)
    first = next(rows, None)
    if first is None:
        raise TrainError(f"{name}: there is nothing in it")
    decimal_comma = separator != ","
    head = first[1] if all(_number(cell, decimal_comma) is None for cell in first[1]) else None
    if head is None and (values or label):
        raise TrainError(f"{name}, line {first[0]}: columns are named, and there is no header to find them in")
    names = [cell.lower() for cell in head] if head else _made_up(len(first[1]))
    kept = [first] if head is None else []
    for row in rows:
        if len(row[1]) != len(names):
            raise TrainError(f"{name}, line {row[0]}: {len(row[1])} cells instead of {len(names)}")
        kept.append(row)
        if len(kept) > MOST_ROWS:
            raise TrainError(f"{name}, line {row[0]}: more than {MOST_ROWS} rows")
    if not kept:
        raise TrainError(f"{name}: there is nothing below its header")
    label_at = _label_column(names, label, name)
    value_at = _value_columns(names, values, label_at, kept[0][1], name, decimal_comma)
    return Labelled(
        features=tuple(names[at] for at in value_at),
        rows=np.array([[_value(row, at, names[at], name, decimal_comma) for at in value_at] for row in kept]),
        overload=np.array([_overload(row, label_at, name) for row in kept]),
        about={"file": name, "label": names[label_at]},
    )


def _separator(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "")
    return max("\t;,", key=line.count)  # of `12,5;1` the semicolon


def _rows(text: str, name: str, separator: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as problem:
        raise TrainError(f"{name}, line {reader.line_num}: {problem}") from None


def _made_up(count: int) -> list[str]:
    if count == 2:
        return ["value", "label"]
    return [f"value{number}" for number in range(1, count)] + ["label"]


def _label_column(names: Sequence[str], wanted: str | None, file: str) -> int:
    if wanted is not None:
        return _named(names, wanted, "--label", file)
    return next((names.index(name) for name in _LABELS if name in names), len(names) - 1)


def _value_columns(
    names: Sequence[str], wanted: Sequence[str], label_at: int, first: Sequence[str], file: str, decimal_comma: bool
) -> list[int]:
    if wanted:
        found = list(dict.fromkeys(_named(names, name, "--value", file) for name in wanted))
    else:
        found = [
            at
            for at, name in enumerate(names)
            if at != label_at and name not in _ASIDE and _number(first[at], decimal_comma) is not None
        ]
    if not found:
        raise TrainError(f"{file}: no column of numbers beside the label; it has {', '.join(map(repr, names))}")
    if label_at in found:
        raise TrainError(f"{file}: {names[label_at]!r} cannot be both value and label")
    if len({names[at] for at in found}) != len(found):
        raise TrainError(f"{file}: two columns have the same name")
    return found


def _named(names: Sequence[str], wanted: str, option: str, file: str) -> int:
    if wanted.strip().lower() not in names:
        raise TrainError(f"{file}: {option}: no column {wanted!r}; it has {', '.join(map(repr, names))}")
    if names.count(wanted.strip().lower()) > 1:
        raise TrainError(f"{file}: {option}: two columns are called {wanted!r}")
    return names.index(wanted.strip().lower())


def _number(cell: str, decimal_comma: bool) -> float | None:
    text = cell.removesuffix("%").rstrip()
    if decimal_comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    # float() also takes underscores and digits of other scripts.
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _value(row: Row, at: int, column: str, file: str, decimal_comma: bool) -> float:
    line, cells = row
    number = _number(cells[at], decimal_comma)
    if number is None or not math.isfinite(number) or abs(number) > 1e15:
        raise TrainError(f"{file}, line {line}: {column!r} is {cells[at][:40]!r}, which is no number")
    return number


def _overload(row: Row, at: int, file: str) -> bool:
    line, cells = row
    word = cells[at].lower()
    if word in _OVERLOAD:
        return True
    if word in _NORMAL:
        return False
    raise TrainError(f"{file}, line {line}: the label is {cells[at][:40]!r}; 0 or 1, normal or overload")
