"""A log line: the event on ``lapwing.logs.v1``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.base import Event, HostId, Name

Level = Literal["debug", "info", "warning", "error", "critical"]


class LogEvent(Event):
    """Key = ``host_id``."""

    kind: Literal["log"] = "log"
    host_id: HostId
    host: Name
    source: Annotated[str, Field(max_length=512, description="Who wrote it: a service of ours, a file, a unit.")]
    level: Level = "info"
    message: Annotated[str, Field(max_length=65_536)]
    fields: dict[str, str] = {}
