"""What every event on a topic has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1

EpochMs = Annotated[int, Field(ge=0, le=253_402_300_799_999)]
"""Milliseconds since 1970-01-01T00:00:00Z; the last instant of the year 9999 is the largest."""

HostId = Annotated[str, Field(min_length=1, max_length=128)]
Name = Annotated[str, Field(max_length=256)]
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Bytes = Count
Rate = Annotated[float, Field(ge=0, le=1e15)]
"""Bounded so that a hundredfold fits every column it is stored in."""


DAY_MS = 86_400_000


def untimely(ts: int, now_ms: int) -> str:
    """What is wrong with an event's time that cannot be true, or is of what is no longer kept."""
    if ts > now_ms:
        return f"the event is {(ts - now_ms) / 1000:.0f} s in the future; is the host's clock right?"
    return f"the event is {(now_ms - ts) / DAY_MS:.0f} days old, older than what is kept; is the host's clock right?"


class Wire(BaseModel):
    """A piece of an event.

    Strict, because the hot path (``codec``) does not coerce either; unknown keys are ignored, so that an older
    reader understands a newer writer. Fields are added, never renamed or removed, within one schema version.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


class Event(Wire):
    """The envelope: one JSON line on a topic is one event."""

    schema_version: Annotated[int, Field(ge=1, le=65_535, description="Version of this event's schema.")] = (
        SCHEMA_VERSION
    )
    event_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            description="The same id means the same event, however often it is sent.",
        ),
    ]
    ts: Annotated[EpochMs, Field(description="Event time, epoch milliseconds, UTC.")]
