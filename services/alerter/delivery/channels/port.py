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
    """Tells the channels of one receiver apart: ``email``, ``webhook``, ``webhook-2``."""

    @property
    def target(self) -> str:
        """Whom it tells, in words without secrets."""
        ...

    async def deliver(self, notification: Notification) -> Outcome:
        """One attempt. ``Delivered`` guarantees that the receiver said yes; the caller bounds the time and repeats."""
        ...

    async def close(self) -> None: ...


def with_remarks(outcome: Outcome, *remarks: str) -> Outcome:
    """The outcome, and what else is to be known about the attempt."""
    said = "; ".join(filter(None, remarks))
    if not said:
        return outcome
    if isinstance(outcome, Delivered):
        return Delivered(f"{outcome.detail}; {said}" if outcome.detail else said)
    return Failed(f"{outcome.reason}; {said}", outcome.permanent, outcome.retry_after)
