"""Work in a process of its own: the embedded engine is one a process, with one directory for as long as that lives."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def apart(work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
    """What ``work``, a function of a module, returns there; raises what it raises."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_run, work, arguments).result()


def _run(work: Callable[..., Coroutine[Any, Any, T]], arguments: tuple[Any, ...]) -> T:
    return asyncio.run(work(*arguments))
