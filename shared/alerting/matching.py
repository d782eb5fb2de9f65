"""Whether labels are meant by matchers: Alertmanager's words and meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.alerting.expressions import is_whole
from shared.schemas.control import Matcher

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:.\-]{0,255}"
_WRITTEN = re.compile(rf'\s*({NAME})\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^"\s]*)\s*', re.ASCII | re.DOTALL)
_ESCAPES = {"n": "\n"}


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """All of them; a label that is not there is empty, as Alertmanager has it.

    A regular expression that is none means nothing, whichever way it is asked: what cannot be understood must not
    silence anybody.
    """
    for m in matchers:
        value = labels.get(m.name, "")
        if m.is_regex:
            if is_whole(m.value, value) is not m.is_equal:
                return False
        elif (value == m.value) != m.is_equal:
            return False
    return True


def parts(text: str) -> dict[str, Any]:
    """Of a matcher as people write it. Raises ``ValueError`` on what is none."""
    found = _WRITTEN.fullmatch(text) if len(text) <= 2048 else None
    if found is None:
        raise ValueError('must be written `name="value"`, with one of = != =~ !~ in the middle')
    name, operator, value = found.groups()
    if value.startswith('"'):
        value = re.sub(r"\\(.)", lambda e: _ESCAPES.get(e[1], e[1] if e[1] in '"\\' else e[0]), value[1:-1], flags=re.S)
    return {"name": name, "value": value, "is_regex": "~" in operator, "is_equal": operator[0] == "="}


def written(matcher: Matcher) -> str:
    """As people write it, and as ``parts`` and Alertmanager read it: ``env="prod"``."""
    operator = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
    value = matcher.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{matcher.name}{operator[matcher.is_regex, matcher.is_equal]}"{value}"'
