"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T | None]], within: float = 60.0, every: float = 0.02, *, that: str = ""
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T | None], within: float = 60.0, every: float = 0.02, *, that: str = ""
) -> T: ...
async def eventually(
    condition: Callable[[], T | Awaitable[T | None] | None],
    within: float = 60.0,
    every: float = 0.02,
    *,
    that: str = "",
) -> T:
    """The first truthy value of ``condition`` (plain or async), asked ``every`` so many seconds.

    Raises ``AssertionError`` after ``within`` seconds, saying what was waited for (``that``, or the condition's own
    source) and what it said last. An ``AssertionError`` inside the condition means "not yet".
    """
    deadline = time.monotonic() + within
    while True:
        try:
            last: object = condition()
            if inspect.isawaitable(last):
                last = await last
            if last:
                return last  # type: ignore[return-value]
        except AssertionError as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {within} s: {that or _source(condition)}; last: {last!r:.500}")
        await asyncio.sleep(every)


def _source(condition: Callable[[], object]) -> str:
    try:
        return " ".join(inspect.getsource(condition).split())[:300]
    except (OSError, TypeError):
        return repr(condition)
