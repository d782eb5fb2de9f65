"""Everything that apprise knows: chats, phones, pagers, in a thread of its own, for it is not asynchronous."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from urllib.parse import unquote

import apprise

from services.alerter.delivery.brevity import clip, plain
from services.alerter.delivery.channels.port import Delivered, Failed, Outcome
from services.alerter.delivery.channels.webhook import Given
from services.alerter.delivery.mail import context_of, short_text
from services.alerter.notification.notification import Notification
from services.alerter.rules.rule import Language
from shared.alerting.fixed_services import FIXED
from shared.runtime.settings import SettingsError

log = logging.getLogger(__name__)

_KINDS = {"info": "info", "warning": "warning", "critical": "failure"}
_STATUS = re.compile(r"error[=:\s]+(\d{3})\b")
_AGAIN = frozenset({408, 425, 429})
_MOST_BODY = 8000

_heard: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("apprise_said", default=None)
T = TypeVar("T")


class _Listener(logging.Handler):
    """Apprise says what went wrong in its log and nowhere else."""

    def emit(self, record: logging.LogRecord) -> None:
        said = _heard.get()
        if said is not None and record.levelno >= logging.WARNING:
            said.append(record.getMessage())


@cache
def _listen() -> None:
    logger = logging.getLogger("apprise")
    logger.addHandler(_Listener(logging.WARNING))
    logger.propagate = False  # what it says is the reason of a failure, recorded and logged as that


class Apprise:
    def __init__(
        self,
        url: str | Given,
        *,
        name: str = "apprise",
        language: Language = "en",
        external_url: str | None = None,
    ) -> None:
        self.name = name
        self._url: Given = (lambda: url) if isinstance(url, str) else url
        self._language = language
        self._external_url = external_url
        self._busy = False

    @property
    def target(self) -> str:
        try:
            return f"{scheme_of(self._url())}://"
        except SettingsError as error:
            return f"({error})"

    async def deliver(self, notification: Notification) -> Outcome:
        if self._busy:
            return Failed("the attempt before this one has not ended yet")
        try:
            plugin = plugin_of(self._url())
        except SettingsError as error:
            return Failed(str(error), permanent=True)
        title, text = short_text(context_of(notification, self._language, self._external_url))
        kind = "success" if notification.status == "resolved" else _KINDS[notification.severity]
        said: list[str] = []

        def send() -> bool:
            _heard.set(said)
            return bool(plugin.notify(title=plain(title), body=clip(text, _MOST_BODY), notify_type=kind))

        if await self._in_thread(send):
            return Delivered("")
        reason = without_url(plain("; ".join(said)), self._url()) or "it did not say why"
        return Failed(f"{self.target} {reason}", permanent=_is_final(reason))

    async def close(self) -> None: ...

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """In a daemon thread: one that never comes back must not keep the process from ending."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(act: Callable[..., None], value: Any) -> None:
            if not done.done():
                act(value)

        def run() -> None:
            try:
                value = work()
            except Exception as error:
                answer: tuple[Callable[..., None], Any] = (done.set_exception, error)
            else:
                answer = (done.set_result, value)
            self._busy = False
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, *answer)

        context = contextvars.copy_context()
        self._busy = True
        threading.Thread(target=context.run, args=(run,), name=f"apprise {self.name}", daemon=True).start()
        return await done


def check(url: str, *, trusted: bool) -> None:
    """Raises ``SettingsError`` where apprise does not know such a URL, or a stranger may not name it."""
    plugin_of(url)
    scheme = scheme_of(url)
    if not trusted and scheme not in FIXED:
        raise SettingsError(
            f"`{scheme}://` may lead to any address; of what is entered through the API only"
            f" {', '.join(f'`{s}`' for s in sorted(FIXED))} are allowed, or set"
            " LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS, or name it in the routing file"
        )


def scheme_of(url: str) -> str:
    """Of apprise's own; the address of a web page of a service it knows has that service's."""
    return url.partition("://")[0].strip().lower()


def plugin_of(url: str) -> apprise.NotifyBase:
    _listen()
    said: list[str] = []
    token = _heard.set(said)
    try:
        asset = apprise.AppriseAsset(app_id="Lapwing", app_desc="Lapwing", app_url="", async_mode=False)
        plugin = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    finally:
        _heard.reset(token)
    if not isinstance(plugin, apprise.NotifyBase):
        why = without_url(plain("; ".join(said)), url)
        raise SettingsError(f"apprise cannot use this `{scheme_of(url)}://…` URL" + (f": {why}" if why else ""))
    if "overflow=" not in url:
        plugin.overflow_mode = apprise.OverflowMode.TRUNCATE
    return plugin


def without_url(text: str, url: str) -> str:
    """Without what may be secret in it."""
    parts = re.split(r"[/:@?&=]+", url.partition("://")[2])
    for part in sorted({url, *parts, *(unquote(part).strip() for part in parts)}, key=len, reverse=True):
        if len(part) >= 6:
            text = text.replace(part, "***")
    return text[:1000]


def _is_final(reason: str) -> bool:
    """Apprise tells an HTTP status or nothing; what is unknown may be better next time."""
    codes = [int(code) for code in _STATUS.findall(reason)]
    return bool(codes) and all(400 <= code < 500 and code not in _AGAIN for code in codes)
