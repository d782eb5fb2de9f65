"""What a channel is: one way to tell somebody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.alerter.notification.notification import Notification


@dataclass(frozen=True, slots=True)
class Delivered:
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """``permanent`` answers: again, or never? ``retry_after``: seconds the receiver asked for."""

    reason: str
    permanent: bool = False
    retry_after: float | None = None


Outcome = Delivered | Failed


class Channel(Protocol):
    name: str

    async def deliver(self, notification: Notification) -> Outcome:
        """One attempt. ``Delivered`` guarantees that the receiver said yes; the caller bounds the time and repeats."""
        ...

    async def close(self) -> None: ...
