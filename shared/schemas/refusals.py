"""Why a model refuses what it was given, as a person is told."""

from __future__ import annotations

from pydantic_core import ErrorDetails


def reason(mistake: ErrorDetails) -> str:
    """One of ``ValidationError.errors()`` without what pydantic puts before a sentence of ours."""
    return mistake["msg"].removeprefix("Value error, ")
