"""Durations and instants in bodies: ``30m``, ``2h``; RFC 3339."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from shared.runtime import times


def _milliseconds(value: Any) -> Any:
    if value is None:
        return None
    try:
        return times.duration(value) * 1000
    except (ValueError, TypeError):
        raise ValueError("must be a number with s, m, h or d such as 30m, at most 366d") from None


def _instant(value: Any) -> Any:
    if value is None:
        return None
    try:
        return times.instant(value)
    except (ValueError, TypeError):
        raise ValueError("must be an RFC 3339 time such as 2026-01-31T12:00:00Z") from None


Lasting = Annotated[int, BeforeValidator(_milliseconds, json_schema_input_type=str)]
"""Milliseconds of ``30m``."""

When = Annotated[int, BeforeValidator(_instant, json_schema_input_type=str)]
"""Epoch milliseconds of an RFC 3339 time."""
