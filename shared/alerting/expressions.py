"""Regular expressions that people write: RE2's, as Alertmanager's are, so that no text takes longer than it is long."""

from __future__ import annotations

from functools import lru_cache

import re2

LONGEST = 512

_options = re2.Options()
_options.log_errors = False  # they are told to who wrote it
_options.never_capture = True  # what is asked is whether, never where
_options.max_mem = 1 << 16
"""Bytes an expression may use: beyond some thousand steps it is refused, for what is matched takes all of them. All
that are remembered take less than 128 MB.
"""


def problem(pattern: str) -> str:
    """Why ``pattern`` may not be used; empty where it may."""
    if len(pattern) > LONGEST:
        return f"is longer than {LONGEST} characters"
    try:
        re2.compile(pattern, _options)
    except re2.error as error:
        return f"is not a regular expression (RE2): {_words(error)}"
    except UnicodeEncodeError:
        return "holds half a character"
    return ""


def is_whole(pattern: str, text: str) -> bool | None:
    """Whether all of ``text`` is as ``pattern`` says; ``None`` where nobody can understand the pattern."""
    compiled = _compiled(pattern)
    return None if compiled is None else compiled.fullmatch(text.encode(errors="replace")) is not None


@lru_cache(maxsize=2048)
def _compiled(pattern: str) -> re2._Regexp | None:
    return None if problem(pattern) else re2.compile(pattern, _options)


def _words(error: re2.error) -> str:
    said = error.args[0]
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
