"""What was open and who had been told, read back from our own events: how a restart neither forgets nor repeats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Annotated

from pydantic import Field, TypeAdapter

from services.alerter.notification.notification import Status
from shared.bus.port import BusError, Tail
from shared.schemas.alert import Alert, Delivery
from shared.schemas.topics import ALERTS

log = logging.getLogger(__name__)

History = Callable[[], Awaitable[Iterable[Alert | Delivery]]]
"""Alerts and deliveries kept elsewhere than on the topic, for a broker that forgets: at least the newest event of every
alert that is pending or firing, and the deliveries about them, in any order."""

FINAL = frozenset({"delivered", "permanent_failure", "gave_up"})
READ_WITHIN = 20.0
LATELY_MS = 3_600_000
_MOST_ENDED = 50_000


class Past:
    """Filled with events in the order of each host; the same events may come again."""

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}
        self._settled: dict[tuple[str, Status], set[str]] = {}
        self._tried: dict[tuple[str, Status], set[str]] = {}
        self._newest = 0

    def add(self, event: Alert | Delivery) -> None:
        self._newest = max(self._newest, event.ts)
        if isinstance(event, Delivery):
            for alert_id in event.alert_ids:
                self._tried.setdefault((alert_id, event.status), set()).add(event.receiver)
                if event.outcome in FINAL:
                    self._settled.setdefault((alert_id, event.status), set()).add(event.receiver)
            return
        known = self._alerts.get(event.alert_id)
        if known is None or event.ts >= known.ts:
            self._alerts[event.alert_id] = event
        if len(self._alerts) > 2 * _MOST_ENDED:
            self._forget_old_ends()

    def open(self) -> list[Alert]:
        """The newest event of every alert that is pending or firing."""
        return [a for a in self._alerts.values() if a.state in ("pending", "firing")]

    def firing(self) -> list[Alert]:
        return [a for a in self._alerts.values() if a.state == "firing"]

    def ended_lately(self) -> list[Alert]:
        """The last event of alerts that ended in the last hour of this past."""
        return [
            a for a in self._alerts.values() if a.state in ("resolved", "inactive") and self._newest - a.ts <= LATELY_MS
        ]

    def settled(self, alert_id: str, status: Status) -> set[str]:
        """Receivers who were told, or who refused, or were given up."""
        return self._settled.get((alert_id, status), set())

    def tried(self, alert_id: str, status: Status) -> set[str]:
        """Receivers for whom there was at least one attempt."""
        return self._tried.get((alert_id, status), set())

    def _forget_old_ends(self) -> None:
        ended = sorted((a.ts, a.alert_id) for a in self._alerts.values() if a.state in ("resolved", "inactive"))
        for _, alert_id in ended[:-_MOST_ENDED]:
            del self._alerts[alert_id]
        for outcomes in (self._settled, self._tried):
            for key in [k for k in outcomes if k[0] not in self._alerts]:
                del outcomes[key]


async def recall(tail: Tail, elsewhere: History | None = None) -> Past:
    """Read the alerts topic from its beginning to its present end, after what is kept ``elsewhere``.

    Raises ``BusError`` where the broker does not give it.
    """
    past = Past()
    for event in await elsewhere() if elsewhere else ():
        past.add(event)
    await tail.start()
    batches = tail.messages()
    try:
        while tail.lag() > 0:
            async with asyncio.timeout(READ_WITHIN):
                batch = await anext(batches)
            for message in batch:
                for event in read(message.value or b""):
                    past.add(event)
    except TimeoutError:
        raise BusError(
            f"nothing came from {ALERTS.name} for {READ_WITHIN:g} s, and without it nobody is told"
        ) from None
    finally:
        await tail.stop()
    return past


_events: TypeAdapter[Alert | Delivery] = TypeAdapter(Annotated[Alert | Delivery, Field(discriminator="kind")])


def read(value: bytes) -> Iterator[Alert | Delivery]:
    """The events of one message; a line that is none is passed over."""
    for line in value.splitlines():
        try:
            yield _events.validate_json(line)
        except ValueError as error:
            log.warning("an alert event cannot be read", extra={"reason": str(error)[:200]})
