"""What is shown beside an alert: how it came about, what the host logged, when it was like this before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shared.schemas.alert import Alert


@dataclass(frozen=True, slots=True)
class LogLine:
    """``ts``: epoch milliseconds."""

    ts: int
    level: str
    source: str
    message: str


@dataclass(frozen=True, slots=True)
class Similar:
    """The last episode of the same alert; times in epoch milliseconds."""

    alert_id: str
    started_at: int
    ended_at: int | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """``points``: (epoch milliseconds, value) of ``metric``, oldest first. ``expected``: lowest and highest value that
    is usual, where somebody knows it. ``logs``: oldest first. ``processes``: the
    largest, in words.
    """

    metric: str = ""
    instance: str = ""
    points: tuple[tuple[int, float], ...] = ()
    expected: tuple[float, float] | None = None
    threshold: float | None = None
    logs: tuple[LogLine, ...] = ()
    processes: tuple[str, ...] = ()
    similar: Similar | None = None


class Evidence(Protocol):
    async def gather(self, alert: Alert, now_ms: int) -> Gathered:
        """As much as there is within two seconds. Never raises: what cannot be had is not there."""
        ...

    async def close(self) -> None: ...


class NoEvidence:
    async def gather(self, alert: Alert, now_ms: int) -> Gathered:
        return Gathered()

    async def close(self) -> None: ...
