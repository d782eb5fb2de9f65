"""Keeps a real Alertmanager told of everything that fires: on change, and every minute, for it forgets on purpose.

What fires here is posted with an end a few minutes ahead, so that it ends there by itself when nobody says otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from services.alerter.delivery.brevity import clip
from services.alerter.delivery.channels.webhook import where, words
from services.alerter.delivery.webhook_body import dashboard_link, rfc3339
from shared.runtime.clock import Clock
from shared.runtime.retry import backoff
from shared.schemas.alert import Alert

log = logging.getLogger(__name__)

EVERY_S = 60.0
AHEAD_MS = 300_000
MOST_ALERTS = 50_000
A_POST = 500
_MOST_CHARACTERS = 4096
_LOOK_S = 1.0


class Mirror:
    def __init__(
        self,
        url: str,
        external_url: str,
        clock: Clock,
        *,
        timeout: float = 10.0,
        every_s: float = EVERY_S,
        may_tell: Callable[[], bool] | None = None,
    ) -> None:
        """``url``: the Alertmanager's own, with its prefix. ``timeout``: seconds one post may take. While ``may_tell``
        says no, nothing is posted: of several alerters one does.
        """
        self._where = where(url)
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._external_url = external_url
        self._clock = clock
        self._every_s = every_s
        self._may_tell = may_tell or (lambda: True)
        self._client = httpx.AsyncClient(timeout=timeout, headers={"User-Agent": "Lapwing"})
        self._firing: dict[str, Alert] = {}
        self._changed: dict[str, Alert] = {}
        """Alert id -> what is to be posted before the next minute."""
        self._wake = asyncio.Event()
        self.refused = 0
        self.failing: str | None = None
        """Why the last post failed; ``None`` when it did not."""

    def show(self, alerts: Iterable[Alert]) -> None:
        """Transitions, in their order; never waits. Of more than ``MOST_ALERTS`` the newest are not told."""
        telling = self._may_tell()
        for alert in alerts:
            if alert.state == "firing":
                if len(self._firing) >= MOST_ALERTS and alert.alert_id not in self._firing:
                    if not self.refused:
                        log.error("too many alerts fire to tell Alertmanager of all", extra={"most": MOST_ALERTS})
                    self.refused += 1
                    continue
                self._firing[alert.alert_id] = alert
            elif not self._firing.pop(alert.alert_id, None):
                continue
            if telling:
                self._changed[alert.alert_id] = alert
        if self._changed:
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        delays, due = backoff(), self._clock.monotonic()
        while True:
            self._wake.clear()
            now = self._clock.monotonic()
            if not self._may_tell():
                # Whoever may tells all that fires; what ends meanwhile ends there by itself.
                self._changed.clear()
                due, pause = now, _LOOK_S
            else:
                if now >= due:
                    self._changed = {**self._firing, **self._changed}
                    due = now + self._every_s
                if self._changed and await self._post_some():
                    delays = backoff()
                    continue
                pause = next(delays) if self._changed else due - now
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause)):
                    await (asyncio.Event() if self._changed else self._wake).wait()

    async def close(self) -> None:
        await self._client.aclose()

    async def _post_some(self) -> bool:
        """Whether it went well; then what was posted is done with."""
        now = self._clock.now_ms()
        some = dict(list(self._changed.items())[:A_POST])
        why = await self._post([posted(a, self._external_url, now) for a in some.values()])
        if why is None:
            if self.failing:
                log.info("Alertmanager is told again", extra={"url": self._where})
            for alert_id, alert in some.items():
                if self._changed.get(alert_id) is alert:
                    del self._changed[alert_id]
        elif not self.failing:
            log.warning("Alertmanager cannot be told", extra={"url": self._where, "reason": why})
        self.failing = why
        return why is None

    async def _post(self, alerts: list[dict[str, Any]]) -> str | None:
        try:
            answer = await self._client.post(self._url, json=alerts)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return words(error) if isinstance(error, httpx.HTTPError) else str(error)
        if answer.is_success:
            return None
        return f"HTTP {answer.status_code} {clip(' '.join(answer.text.split()), 300)}".strip()


def posted(alert: Alert, external_url: str, now_ms: int) -> dict[str, Any]:
    """As Alertmanager's API takes it."""
    firing = alert.state == "firing"
    return {
        "labels": names(alert.labels),
        "annotations": names(alert.annotations),
        "startsAt": rfc3339(alert.started_at),
        "endsAt": rfc3339(now_ms + AHEAD_MS if firing else alert.ended_at or alert.ts),
        "generatorURL": dashboard_link(alert, external_url),
    }


def names(texts: Mapping[str, str]) -> dict[str, str]:
    """One name that Prometheus would not have, and Alertmanager refuses the whole post; an empty value it drops."""
    fit: dict[str, str] = {}
    for name, text in texts.items():
        good = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        fit.setdefault(f"_{good}" if good[:1].isdigit() or not good else good, clip(text, _MOST_CHARACTERS))
    return {name: text for name, text in fit.items() if text}
