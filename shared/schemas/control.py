"""What people tell the product: the events on the compacted topic ``lapwing.control.v1``.

Key = ``<kind>:<id>``: the last event of a key is the truth, and a message without a value forgets it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.base import EpochMs, Event, HostId, Name, Wire


class Matcher(Wire):
    """Alertmanager's label matcher."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    value: Annotated[str, Field(max_length=1024)]
    is_regex: bool = False
    is_equal: bool = True


class Silence(Event):
    kind: Literal["silence"] = "silence"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    matchers: Annotated[list[Matcher], Field(min_length=1)]
    starts_at: EpochMs
    ends_at: EpochMs
    author: Name
    comment: Annotated[str, Field(max_length=4096)] = ""


class Acknowledgement(Event):
    """``id`` is the alert's ``alert_id``."""

    kind: Literal["ack"] = "ack"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    author: Name
    note: Annotated[str, Field(max_length=4096)] = ""
    expires_at: EpochMs | None = None


class Meant(Wire):
    """A metric that an opinion is about, and the values it had: ``low`` to ``high``."""

    metric: Name
    labels: dict[str, str] = {}
    low: float
    high: float


class Feedback(Event):
    """``id`` is the anomaly's ``anomaly_id``; ``metrics`` are those that made it one, ``finding`` and ``labels`` its
    own.
    """

    kind: Literal["feedback"] = "feedback"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    host_id: HostId
    verdict: Literal["normal", "real"]
    author: Name
    note: Annotated[str, Field(max_length=4096)] = ""
    metrics: Annotated[list[Meant], Field(max_length=32)] = []
    finding: Annotated[str, Field(max_length=64)] = ""
    labels: Annotated[dict[str, str], Field(max_length=128)] = {}


def key_of(event: Silence | Acknowledgement | Feedback) -> str:
    """The compaction key: ``<kind>:<id>``."""
    return f"{event.kind}:{event.id}"
