"""Whether labels are meant by matchers: Alertmanager's words and meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.alerting.expressions import is_whole
from shared.schemas.control import Matcher


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


def written(matcher: Matcher) -> str:
    """As people write it, and as Alertmanager reads it: ``env="prod"``."""
    operator = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
    value = matcher.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{matcher.name}{operator[matcher.is_regex, matcher.is_equal]}"{value}"'
