"""Whether labels are meant by matchers: Alertmanager's words and meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from shared.schemas.control import Matcher


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """All of them; a label that is not there is empty, as Alertmanager has it."""
    for m in matchers:
        value = labels.get(m.name, "")
        hit = re.fullmatch(m.value, value) is not None if m.is_regex else value == m.value
        if hit != m.is_equal:
            return False
    return True
