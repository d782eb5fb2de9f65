"""Webhook: an HTTP POST of Alertmanager's version 4 body, or of a template's, signed where there is a secret."""

from __future__ import annotations

import email.utils
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import httpx

from services.alerter.delivery.channels.port import Delivered, Failed, Outcome, with_remarks
from services.alerter.delivery.guard import Forbidden
from services.alerter.delivery.sandbox import Sandbox, TemplateFault
from services.alerter.delivery.webhook_body import body
from services.alerter.notification.notification import Notification
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.settings import SettingsError

log = logging.getLogger(__name__)

SIGNATURE = "X-Lapwing-Signature"

Given = Callable[[], str]
"""A URL or a secret; read anew for each attempt where it is in a file. Raises ``SettingsError``."""

_AGAIN = frozenset({408, 425, 429})
_LONGEST_WAIT_S = 3600.0
_DETAIL_BYTES = 300


class Webhook:
    def __init__(
        self,
        url: str | Given,
        *,
        external_url: str,
        timeout: float,
        name: str = "webhook",
        secret: Given | None = None,
        headers: Mapping[str, str] | None = None,
        template: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``timeout``: seconds each step (connecting, sending, waiting for bytes) may take. ``transport``: a
        ``Guarded`` one for a URL from a stranger.
        """
        self.name = name
        self._url: Given = (lambda: url) if isinstance(url, str) else url
        self._secret = secret
        self._template = template
        self._external_url = external_url
        self._clock = clock or SystemClock()
        self._sandbox = Sandbox()
        self._client = httpx.AsyncClient(
            timeout=timeout,
            transport=transport,
            trust_env=transport is None,
            follow_redirects=False,
            headers={
                "User-Agent": "Lapwing",
                "Content-Type": "application/json",
                **{name: value.strip() for name, value in (headers or {}).items()},
            },
        )

    @property
    def target(self) -> str:
        try:
            return where(self._url())
        except SettingsError as error:
            return f"({error})"

    async def deliver(self, notification: Notification) -> Outcome:
        try:
            url = self._url()
            secret = self._secret() if self._secret else None
        except SettingsError as error:
            return Failed(str(error))
        content, remark = await self._content(notification)
        headers = {"X-Lapwing-Notification": notification.id, "X-Lapwing-Occasion": notification.occasion}
        if secret:
            headers[SIGNATURE] = signature(secret, content, self._clock.now_ms() // 1000)
        return with_remarks(await self._post(url, content, headers), remark)

    async def close(self) -> None:
        await self._sandbox.close()
        await self._client.aclose()

    async def _post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Outcome:
        try:
            async with self._client.stream("POST", url, content=content, headers=headers) as answer:
                return await _verdict(answer)
        except Forbidden as error:
            return Failed(str(error), permanent=True)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            return Failed(f"the URL cannot be used: {error}", permanent=True)
        except httpx.HTTPError as error:
            return Failed(f"{where(url)} cannot be reached: {words(error)}")

    async def _content(self, notification: Notification) -> tuple[bytes, str]:
        """What is posted, and what is to be said of it."""
        ours = body(notification, self._external_url)
        if self._template is not None:
            try:
                text = await self._sandbox.render(
                    self._template, {**ours, "occasion": notification.occasion, "note": notification.note}
                )
            except TemplateFault as fault:
                remark = f"the body is ours, its template failed: {fault}"
                log.warning(remark, extra={"receiver": notification.receiver, "channel": self.name})
                return _json(ours), remark
            return text.encode("utf-8", "replace"), ""
        return _json(ours), ""


def signature(secret: str, content: bytes, at: int) -> str:
    """``t=<unix seconds>,v1=<hex of HMAC-SHA256 over "<t>.<body>">``: who checks ``t`` too cannot be sent it again."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + content, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def where(url: str) -> str:
    """The URL without what may be secret in it: user, path, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def words(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.LocalProtocolError):
        return "the request cannot be sent as it is"  # its own words quote a header, which may be a password
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


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
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, at.timestamp() - time.time()), _LONGEST_WAIT_S)
