"""A stretch of time as the command line names it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.runtime import times
from shared.runtime.settings import SettingsError


@dataclass(frozen=True)
class Span:
    """Epoch milliseconds; ``end_ms`` is not part of it. ``hosts``: names or ids; none means all."""

    start_ms: int
    end_ms: int
    hosts: Sequence[str]


def add_to(parser: Any, *, required: bool) -> None:
    """The options ``--from``, ``--to`` and ``--host``."""
    parser.add_argument(
        "--from", dest="start", required=required, metavar="TIME", help="as 2026-01-31T12:00:00Z, or now-7d"
    )
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="default: now")
    parser.add_argument("--host", action="append", default=[], help="name or id; repeatable (default: all)")


def span_of(arguments: argparse.Namespace, now_ms: int) -> Span:
    """Raises ``SettingsError``."""
    span = Span(_moment("--from", arguments.start, now_ms), _moment("--to", arguments.end, now_ms), arguments.host)
    if span.start_ms >= span.end_ms:
        raise SettingsError("--from must be earlier than --to")
    return span


def _moment(name: str, text: str, now_ms: int) -> int:
    try:
        return times.moment(text, now_ms)
    except ValueError:
        raise SettingsError(
            f"{name}: {text!r} is no time; 2026-01-31T12:00:00Z, epoch milliseconds, or now-6h"
        ) from None
