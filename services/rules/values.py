"""Series as promtool writes them: ``10x5 95x40``, ``1+2x10``, ``_x3``."""

from __future__ import annotations

import math
import re

MOST = 100_000

_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(rf"(?:(_)|({_NUMBER})([-+]{_NUMBER.removeprefix('-?')})?)(?:x(\d{{1,9}}))?", re.ASCII)


def expand(text: str) -> list[float | None]:
    """One value a step, ``None`` where there is none. Raises ``ValueError``.

    ``a+bxn`` is a and n more, each b further; ``axn`` is a and n more of it; ``_`` is nothing and ``_xn`` n times that.
    """
    values: list[float | None] = []
    for token in text.split():
        found = _TOKEN.fullmatch(token)
        if not found:
            raise ValueError(f"`{token}` is no value; write `5`, `5x10`, `5+2x10`, `_` or `_x10`")
        nothing, first, step, times = found.groups()
        if step and times is None:
            raise ValueError(f"`{token}` says how far, but not how often; write `{token}x10`")
        count = int(times or 0) + (not nothing or times is None)
        if len(values) + count > MOST:
            raise ValueError(f"more than {MOST} values")
        if nothing:
            values += [None] * count
            continue
        numbers = [float(first) + n * float(step or 0) for n in range(count)]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"`{token}` goes beyond all numbers")
        values += numbers
    return values
