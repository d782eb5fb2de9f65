"""Regular expressions that people may send: only such as are answered in time whatever they are matched with.

Python tries one way after the other, so a pattern that can match a text in a million ways takes a million steps to say
no. The ways are counted ahead: a repeat of one character counts as often as a label is long, alternatives add up, what
follows each other multiplies. What remembers what it matched, or looks around, is refused altogether, as RE2 does.
"""

from __future__ import annotations

import re
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 512
MOST_WAYS = 1_000_000
LABEL = 64  # characters: what labels usually have at most
_ONE_WAY = {op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN, op.AT, op.CATEGORY}


def problem(pattern: str) -> str:
    """Why ``pattern`` may not be used; empty where it may. Takes no longer than the pattern is long."""
    if len(pattern) > LONGEST:
        return f"is longer than {LONGEST} characters"
    try:
        parsed = parser.parse(pattern)
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression: {error}"
    try:
        ways = _ways(parsed)
    except _RemembersError:
        return "must not look ahead or behind, nor refer to a group"
    return "may take too long: fewer repeats, and none of a repeat or of alternatives" if ways > MOST_WAYS else ""


class _RemembersError(Exception):
    pass


def _ways(items: Any) -> int:
    total = 1
    for code, argument in items:
        total = min(total * _ways_of(code, argument), MOST_WAYS + 1)
    return total


def _ways_of(code: Any, argument: Any) -> int:
    if code in _ONE_WAY:
        return 1
    if code is op.BRANCH:
        return sum(_ways(branch) for branch in argument[1])
    if code is op.SUBPATTERN:
        return _ways(argument[3])
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, most, body = argument
        return _repeated(least, most, _ways(body), body)
    raise _RemembersError


def _repeated(least: int, most: int, ways: int, body: Any) -> int:
    shortest, longest = body.getwidth()
    most = min(int(most), max(LABEL, least))
    if ways == 1 and shortest == longest:
        return most - least + 1
    if most == 1:
        return ways + (least == 0)
    return MOST_WAYS + 1 if most > 8 else sum(ways**times for times in range(least, most + 1))
