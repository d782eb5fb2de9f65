"""Webhook: an HTTP POST of Alertmanager's version 4 body, so that whatever understands Alertmanager understands us."""

from __future__ import annotations

import email.utils
import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from services.alerter.delivery.channels.port import Delivered, Failed, Outcome
from services.alerter.notification.notification import Notification
from shared.schemas.alert import Alert

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: ``endsAt`` while the alert fires."""

_AGAIN = frozenset({408, 425, 429})
_LONGEST_WAIT_S = 3600.0
_DETAIL_BYTES = 300


class Webhook:
    name = "webhook"

    def __init__(self, url: str, *, external_url: str, timeout: float) -> None:
        """``timeout``: seconds each step (connecting, sending, waiting for bytes) may take."""
        self._url = url
        self._external_url = external_url
        self._client = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=False,
            headers={"User-Agent": "Lapwing", "Content-Type": "application/json"},
        )

    async def deliver(self, notification: Notification) -> Outcome:
        content = json.dumps(body(notification, self._external_url), ensure_ascii=False).encode()
        try:
            async with self._client.stream("POST", self._url, content=content) as answer:
                return await _verdict(answer)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            return Failed(f"the URL cannot be used: {error}", permanent=True)
        except httpx.HTTPError as error:
            return Failed(f"{where(self._url)} cannot be reached: {_words(error)}")

    async def close(self) -> None:
        await self._client.aclose()


def body(notification: Notification, external_url: str) -> dict[str, Any]:
    alerts = [_alert(a, external_url) for a in notification.alerts]
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": 0,
        "status": notification.status,
        "receiver": notification.receiver,
        "groupLabels": {"alertname": notification.rule},
        "commonLabels": _common([a["labels"] for a in alerts]),
        "commonAnnotations": _common([a["annotations"] for a in alerts]),
        "externalURL": external_url,
        "alerts": alerts,
    }


def where(url: str) -> str:
    """The URL without what may be secret in it: user, path, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _alert(alert: Alert, external_url: str) -> dict[str, Any]:
    ended = alert.state == "resolved"
    query = urlencode({"host": alert.host_id, "alert": alert.alert_id})
    return {
        "status": "resolved" if ended else "firing",
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _instant(alert.started_at),
        "endsAt": _instant(alert.ended_at or alert.ts) if ended else NEVER,
        "generatorURL": f"{external_url}/?{query}",
        "fingerprint": alert.fingerprint[:16],
    }


def _common(maps: list[dict[str, str]]) -> dict[str, str]:
    first, *others = maps
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _verdict(answer: httpx.Response) -> Outcome:
    status = answer.status_code
    if 200 <= status < 300:
        return Delivered(f"HTTP {status}")
    if 300 <= status < 400:
        return Failed(f"HTTP {status}: redirects are not followed, name the final URL", permanent=True)
    reason = f"HTTP {status} {await _beginning(answer)}".strip()
    if status >= 500 or status in _AGAIN:
        return Failed(reason, retry_after=_retry_after(answer.headers.get("Retry-After")))
    return Failed(reason, permanent=True)


async def _beginning(answer: httpx.Response) -> str:
    """What the receiver says, as far as it is short text."""
    taken = b""
    async for chunk in answer.aiter_raw():
        taken += chunk
        if len(taken) >= _DETAIL_BYTES:
            break
    text = taken[:_DETAIL_BYTES].decode("utf-8", "replace")
    return " ".join(c for c in text.split() if c.isprintable())


def _retry_after(value: str | None) -> float | None:
    """Seconds or an HTTP date; ``None`` for anything else."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), _LONGEST_WAIT_S)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(max(0.0, at.timestamp() - time.time()), _LONGEST_WAIT_S)


def _words(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
