"""SQL files into statements: a semicolon ends one, but not inside a string, a quoted name or a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?\*/)
  | (?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)
  | (?P<end>;)
  | (?P<other>[^'"`;/-]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


def statements(sql: str) -> Iterator[str]:
    """Each statement without its semicolon and comments; empty ones are left out."""
    current: list[str] = []
    for token in _TOKEN.finditer(sql):
        if token["end"]:
            if statement := "".join(current).strip():
                yield statement
            current.clear()
        elif token["comment"]:
            current.append(" ")
        else:
            current.append(token[0])
    if statement := "".join(current).strip():
        yield statement
