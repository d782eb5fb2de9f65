"""Secrets in command lines, taken out before anything leaves the host. What is recognised: docs/redaction.md.

When in doubt a word too many is hidden: a command line is for recognising a process, not for starting it again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise

from services.agent.secret_patterns import (
    ANYWHERE,
    ATTACHED,
    BEFORE_KEY,
    BEFORE_SECRET,
    BEFORE_STRING,
    HARMLESS_ENDS,
    HARMLESS_STARTS,
    HIDDEN,
    LOGINS,
    NEXT,
    NEXT_AT_LOGIN,
    PAIRS,
    SECRET_ENDS,
    SECRET_WORDS,
    SWITCHES,
    TOOLS,
)

LONGEST = 4096  # characters of an argument looked at; beyond, it is hidden unread

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# `--name=value`, `name:value`, `/p:value`, `-Dname=value`, `NAME=value`, `"name": "value"`
_ASSIGNMENT = re.compile(
    r"""^(?P<key>[-/+]{0,2}["']?[A-Za-z_@%$][\w.\-\[\]/]*["']?)(?P<sign>\s*(?:=|: ?))(?P<value>.+)$""", re.S
)
_NAME = re.compile(r"^[A-Za-z]+(_[A-Za-z]+)+$")
_LOGIN = re.compile(r"^(?P<user>[^/@\s]+/)[^@\s]+(?P<where>@.*)?$", re.S)
_FLAG = re.compile(r"^(-{1,2}|/|\+)[A-Za-z][\w.\-]*$")

# `password=…`, `"secret": "…"`, `AccountKey=…;` inside something longer
_INSIDE = re.compile(
    r"""(?<![\w.\-])(?P<key>[\w.\-]++)(?P<sign>["']?\s*[=:]\s*)(?P<value>"[^"]*"|'[^']*'|[^\s;&,"'}\])]+)"""
)
_PIECES = re.compile(r"""\s+|(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\])+|["'\\]""", re.S)


class Redactor:
    """``more``: further regular expressions; whatever they match is hidden too."""

    def __init__(self, more: Sequence[str] = ()) -> None:
        self._more = tuple(re.compile(pattern) for pattern in more)

    def arguments(self, arguments: Sequence[str]) -> list[str]:
        """A command line's arguments with their secrets replaced by ``***``; never more or fewer arguments."""
        shown: list[str] = []
        tool, following = "", _Next.SHOWN
        for argument in arguments:
            if following is _Next.WORD:
                following = _Next.SHOWN if argument.startswith("-") else _Next.HIDDEN
            if following is not _Next.SHOWN:
                shown.append(HIDDEN if following is _Next.HIDDEN else _without_password(argument))
                following = _Next.SHOWN
                continue
            program = argument.rsplit("/", 1)[-1]
            if program in TOOLS:
                tool = program
            elif argument.startswith(("-", "/", "+")):
                switches, option = _unbundled(tool, argument)
                if (glued := _attached(tool, option)) is not None:
                    shown.append(switches + glued.removeprefix("-") if switches else glued)
                    continue
                following = _after(tool, option, arguments)
            elif tool in LOGINS and (login := _LOGIN.match(argument)):
                argument = f"{login['user']}{HIDDEN}{login['where']}"
            elif shown and _announces(argument):
                following = _Next.WORD
            shown.append(self.text(argument))
        return shown

    def text(self, argument: str) -> str:
        """One argument; it may be a whole command or document."""
        if len(argument) > LONGEST:
            return self.text(argument[:LONGEST]) + HIDDEN
        assignment = _ASSIGNMENT.match(argument)
        if assignment and is_secret(assignment["key"]) and not assignment["value"].startswith("//"):
            return f"{assignment['key']}{assignment['sign']}{HIDDEN}"
        for pattern, replacement in ANYWHERE:
            argument = pattern.sub(replacement, argument)
        for pattern in self._more:
            argument = pattern.sub(HIDDEN, argument)
        if ";" in argument and "=" in argument:
            argument = ";".join(_hide_segment(segment) for segment in argument.split(";"))
        if any(c.isspace() for c in argument):
            return self._command(argument)
        return _INSIDE.sub(_hide_value, argument)

    def _command(self, line: str) -> str:
        """``sh -c "…"``, and titles: the same rules word by word."""
        pieces = _PIECES.findall(line)
        words = [i for i, piece in enumerate(pieces) if not piece.isspace()]
        if len(words) < 2:
            return _INSIDE.sub(_hide_value, line)
        for i, word in zip(words, self.arguments([pieces[i] for i in words]), strict=True):
            pieces[i] = word
        return _INSIDE.sub(_hide_value, "".join(pieces))


def is_secret(name: str) -> bool:
    """Whether what follows this name is likely a secret: ``--db-password``, ``AWS_SECRET_ACCESS_KEY``, ``keyPass``."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in HARMLESS_ENDS or words[0] in HARMLESS_STARTS:
        return False
    if not SECRET_WORDS.isdisjoint(words) or "".join(words).endswith(SECRET_ENDS):
        return True
    return any(
        (second == "key" and first in BEFORE_KEY) or (second in ("string", "str") and first in BEFORE_STRING)
        for first, second in pairwise(words)
    )


class _Next(Enum):
    """What becomes of the argument after an option."""

    SHOWN = "shown"
    HIDDEN = "hidden"
    PAIR = "pair"
    WORD = "hidden, if it is no option"


def _after(tool: str, option: str, arguments: Sequence[str]) -> _Next:
    if option in PAIRS.get(tool, ()):
        return _Next.PAIR
    if option in NEXT.get(tool, ()) or (_FLAG.match(option) and is_secret(option)):
        return _Next.HIDDEN
    if option in NEXT_AT_LOGIN.get(tool, ()) and "login" in arguments:
        return _Next.HIDDEN
    return _Next.SHOWN


def _announces(argument: str) -> bool:
    """Whether an argument that is no option is the name of the secret behind it."""
    return argument in BEFORE_SECRET or bool(_NAME.match(argument) and is_secret(argument))


def _unbundled(tool: str, argument: str) -> tuple[str, str]:
    """``-sSubob:SECRET`` as the switches ``-sS`` and the option ``-ubob:SECRET``."""
    rest = argument[1:].lstrip(SWITCHES.get(tool, ""))
    switches = argument[: len(argument) - len(rest)]
    return (switches, f"-{rest}") if len(switches) > 1 and rest and argument[1] != "-" else ("", argument)


def _attached(tool: str, argument: str) -> str | None:
    """An option with a secret glued to it, as it may be shown: ``-p***`` for ``-pSECRET``."""
    for option in ATTACHED.get(tool, ()):
        if argument.startswith(option) and len(argument) > len(option):
            return option + HIDDEN
    for option in PAIRS.get(tool, ()):
        glued = argument.startswith(f"{option}=") if option.startswith("--") else len(argument) > len(option)
        if glued and argument.startswith(option):
            return _without_password(argument)
    return None


def _without_password(pair: str) -> str:
    found = re.match(r"[^:%]*[:%]", pair, re.S)
    return f"{found[0]}{HIDDEN}" if found else pair


def _hide_segment(segment: str) -> str:
    """``Password=a b`` of a connection string ``Server=…;Password=a b;…``."""
    name, sign, _ = segment.partition("=")
    return f"{name}={HIDDEN}" if sign and is_secret(name) else segment


def _hide_value(match: re.Match[str]) -> str:
    if not is_secret(match["key"]) or match["value"].startswith(HIDDEN) or match["value"].startswith("//"):
        return match[0]
    quote = match["value"][0] if match["value"][0] in "\"'" else ""
    return f"{match['key']}{match['sign']}{quote}{HIDDEN}{quote}"
