"""A dead man's switch elsewhere is told that alerting works; when it is told no more, it alerts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import httpx

from services.alerter.delivery.channels.webhook import where, words

log = logging.getLogger(__name__)

Works = Callable[[], str | None]
"""Why alerting does not work; ``None`` when it does."""


class Heartbeat:
    def __init__(
        self,
        url: str,
        every_s: float,
        works: Works,
        *,
        timeout: float = 10.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``timeout``: seconds a call may take."""
        self._url = url
        self._every_s = every_s
        self._works = works
        self._sleep = sleep
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=True, headers={"User-Agent": "Lapwing"})
        self.failing: str | None = None
        """Why the last beat was not given; ``None`` when it was."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._say(await self.beat())
            await self._sleep(self._every_s)

    async def beat(self) -> str | None:
        """One call, if alerting works; why there was none, or why it failed."""
        why = self._works()
        if why is not None:
            return f"alerting does not work: {why}"
        try:
            async with self._client.stream("GET", self._url) as answer:
                return None if answer.is_success else f"{where(self._url)} said HTTP {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{where(self._url)}: {words(error) if isinstance(error, httpx.HTTPError) else error}"

    async def close(self) -> None:
        await self._client.aclose()

    def _say(self, why: str | None) -> None:
        """Once, when it changes."""
        if why and not self.failing:
            log.warning("no heartbeat was given", extra={"reason": why})
        elif self.failing and not why:
            log.info("heartbeats are given again")
        self.failing = why
