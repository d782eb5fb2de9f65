"""What comes from far away has no length we know: it is cut, aloud."""

from __future__ import annotations

import re
from collections.abc import Mapping

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def clip(text: str, most: int) -> str:
    """``text``, or its beginning and a word about how much there was."""
    if len(text) <= most:
        return text
    note = f" … [{len(text)} characters, cut]"
    return text[: max(0, most - len(note))] + note


def clipped(texts: Mapping[str, str], most: int) -> dict[str, str]:
    return {name: clip(text, most) for name, text in texts.items()}


def one_line(text: str) -> str:
    """Without line ends, control characters and halves of characters."""
    return _CONTROL.sub(" ", text)


def plain(text: str) -> str:
    """One line, for a mail's header: a line end would begin a new one."""
    return " ".join(one_line(text).split())
