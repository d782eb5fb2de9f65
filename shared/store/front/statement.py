"""What kind of statement a text begins with, which format it names, and where an INSERT's data begins: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.store.front.refusal import Refused

LONGEST_HEAD = 1 << 18
"""Bytes within which an INSERT must come to its data, as ClickHouse's ``max_query_size``."""

_GAP = r"(?:\s|--[^\n]*(?:\n|\Z)|\#[! ][^\n]*(?:\n|\Z)|/\*.*?\*/)*"
_FIRST = re.compile(rf"{_GAP}[\s(]*(\w+)", re.DOTALL)
_FORMAT = re.compile(
    rf"\bFORMAT{_GAP}\s(\w+){_GAP}(?:SETTINGS\b[^;]*)?[;\s]*\Z",
    re.DOTALL | re.IGNORECASE,
)
_ANY_FORMAT = re.compile(r"\bFORMAT\b", re.IGNORECASE)
_ASKS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "FROM", "VALUES", "CHECK"}

_TOKEN = re.compile(
    rb"""
    (?P<gap>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

STREAMED = {
    "Native",
    "TabSeparated",
    "TSV",
    "CSV",
    "JSONEachRow",
    "NDJSON",
    "JSONLines",
    "JSONCompactEachRow",
    "JSONStringsEachRow",
    "RowBinary",
    "TabSeparatedRaw",
    "TSVRaw",
    "LineAsString",
    "Null",
}
"""Formats without a head or foot: chDB makes each block a whole, so only these may follow one another."""


@dataclass(frozen=True)
class Insert:
    """``into`` and ``settings`` (a clause, or nothing) without the FORMAT; the data, in ``form``, is what follows
    ``data_at``.
    """

    into: str
    settings: str
    form: str
    data_at: int

    def from_file(self, path: str) -> str:
        """The same with its data in a file."""
        return f"{self.into} FROM INFILE '{path}' COMPRESSION 'none' {self.settings} FORMAT {self.form}"


def first_word(text: str) -> str:
    found = _FIRST.match(text[:LONGEST_HEAD])
    return found[1].upper() if found else ""


def asks(text: str) -> bool:
    """Whether it is a question, which has an answer and changes nothing."""
    return first_word(text) in _ASKS


def format_of(text: str, otherwise: str) -> tuple[str, bool]:
    """The format of the answer, and whether blocks of it can be sent as they come."""
    if found := _FORMAT.search(text):
        return found[1], found[1] in STREAMED
    return otherwise, otherwise in STREAMED and not _ANY_FORMAT.search(text)


def insert_of(text: bytes) -> Insert | None:
    """``text`` is the query and the beginning of what follows it. None where no data follows (INSERT … SELECT).

    Raises ``Refused`` (62) where there is neither data nor a SELECT in sight.
    """
    depth = 0
    after_format = False
    head_end = settings_at = 0
    for token in _TOKEN.finditer(text[:LONGEST_HEAD]):
        if token["gap"]:
            continue
        if after_format:
            if not token["word"]:
                break
            return _insert(text[:head_end], settings_at, token["word"].decode(), _skipped(text, token.end()))
        if token["other"] in (b"(", b")"):
            depth += 1 if token["other"] == b"(" else -1
        if not token["word"] or depth:
            continue
        word = token["word"].upper()
        if word == b"FORMAT":
            after_format, head_end = True, token.start()
        elif word == b"VALUES":
            return _insert(text[: token.start()], settings_at, "Values", token.end())
        elif word == b"SETTINGS":
            settings_at = token.start()
        elif word in (b"SELECT", b"WITH", b"INFILE", b"WATCH"):
            return None
    raise Refused(62, "Syntax error: an INSERT needs FORMAT, VALUES or SELECT (SYNTAX_ERROR)")


def _insert(head: bytes, settings_at: int, form: str, data_at: int) -> Insert:
    at = settings_at or len(head)
    return Insert(_text(head[:at]), _text(head[at:]), form, data_at)


def _skipped(text: bytes, at: int) -> int:
    """Blanks and one end of line belong to the query; all after them is data, even if it looks like blanks."""
    while text[at : at + 1] in (b" ", b"\t", b"\f"):
        at += 1
    if text[at : at + 1] == b"\r":
        at += 1
    return at + 1 if text[at : at + 1] == b"\n" else at


def _text(head: bytes) -> str:
    return head.decode("utf-8", errors="replace")


def without_format(text: str) -> str:
    """The question without its FORMAT and SETTINGS at the end, to be asked within another."""
    found = _FORMAT.search(text)
    return (text[: found.start()] if found else text).rstrip().rstrip(";")
