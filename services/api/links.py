"""Signed links from messages: what they ask for, done once."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from services.api import alerts, feedback, silences
from services.api.anomaly import find as find_anomaly
from services.api.decisions import Decisions
from services.api.errors import ApiError, unavailable
from services.api.queries import Queries
from shared.alerting import links
from shared.alerting.links import Link
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.control import Acknowledgement, Matcher, UsedLink

log = logging.getLogger(__name__)

AUTHOR = "link"
SILENCE_MS = 3_600_000
_LINKS = "link:"
_NAMES = uuid.UUID("3f0c6d5e-5d0e-4d55-9d0a-6a1f2f6d8c11")
Outcome = Literal["asked", "done", "used", "expired", "unknown", "over"]


@dataclass(frozen=True)
class Followed:
    """``link`` and ``alert`` are there as far as they are known."""

    outcome: Outcome
    link: Link | None = None
    alert: dict[str, Any] | None = None


class Links:
    """Methods raise ``ApiError`` 503 while the store or the bus is away: nothing was used up then."""

    def __init__(self, settings: Settings, queries: Queries, decisions: Decisions) -> None:
        self._settings = settings
        self._queries = queries
        self._decisions = decisions
        self._secret = ""
        self._one = asyncio.Lock()

    async def look(self, token: str, now_ms: int) -> Followed:
        """Without doing anything."""
        link = links.read(await self._key(), token, now_ms)
        if not isinstance(link, Link):
            return Followed("expired" if link is links.Refusal.EXPIRED else "unknown")
        alert = await self._alert(link)
        if alert is None:
            return Followed("unknown", link)
        used = await self._decisions.of(_LINKS + link.nonce)
        return Followed("used" if used else "asked", link, alert)

    async def follow(self, token: str, now_ms: int) -> Followed:
        """Does it, unless it was done. Two replicas at the same instant do the same twice, which changes nothing."""
        async with self._one:
            found = await self.look(token, now_ms)
            if found.outcome != "asked" or found.link is None or found.alert is None:
                return found
            link, alert = found.link, found.alert
            if link.action == "ack":
                if alert["condition"] not in ("pending", "firing"):
                    return Followed("over", link, alert)
                await self._acknowledge(link, alert, now_ms)
            elif link.action == "silence":
                await self._silence(link, alert, now_ms)
            else:
                await self._was_normal(link, alert, now_ms)
            used = UsedLink(
                event_id=str(uuid.uuid4()), ts=now_ms, id=link.nonce, expires_at=link.expires_at, action=link.action
            )
            await self._decisions.tell(used)
            await self._forget(now_ms)
            return Followed("done", link, alert)

    async def _alert(self, link: Link) -> dict[str, Any] | None:
        try:
            return await alerts.find(self._queries, link.alert_id)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _acknowledge(self, link: Link, alert: dict[str, Any], now_ms: int) -> None:
        ack = Acknowledgement(
            event_id=str(uuid.uuid4()),
            ts=now_ms,
            id=link.alert_id,
            author=AUTHOR,
            severity=alert["severity"],
            value=alert["value"],
        )
        await alerts.acknowledged(self._queries, self._decisions, ack)

    async def _silence(self, link: Link, alert: dict[str, Any], now_ms: int) -> None:
        meant = {"alertname": alert["rule"], "host": alert["host"], "host_id": alert["host_id"]}
        await silences.keep(
            self._decisions,
            now_ms,
            matchers=[Matcher(name=name, value=value) for name, value in meant.items()],
            starts_at=now_ms,
            ends_at=now_ms + SILENCE_MS,
            author=AUTHOR,
            comment=alert["summary"][:1024],
            # The same for the same link, so that it stays one whoever follows it twice.
            silence_id=str(uuid.uuid5(_NAMES, link.nonce)),
        )

    async def _was_normal(self, link: Link, alert: dict[str, Any], now_ms: int) -> None:
        anomaly = await find_anomaly(self._queries, link.anomaly_id or alert["anomaly_id"])
        await feedback.give(self._decisions, anomaly, "normal", AUTHOR, "", now_ms)

    async def _forget(self, now_ms: int) -> None:
        """Used ones that could not be used any more."""
        for used in await self._decisions.all_of(_LINKS):
            if used["expires_at"] <= now_ms:
                await self._decisions.take_back(_LINKS + used["id"])

    async def _key(self) -> str:
        if not self._secret:
            try:
                self._secret = await asyncio.to_thread(links.link_secret, self._settings)
            except SettingsError as error:
                log.error("links cannot be followed", extra={"reason": str(error)})
                raise unavailable() from None
        return self._secret
