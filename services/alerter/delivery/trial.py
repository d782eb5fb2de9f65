"""Try a receiver: what ``lapwing alert test RECEIVER`` does, and a trial that somebody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from services.alerter.delivery.channels.port import Channel, Failed, Outcome
from services.alerter.delivery.receivers import channels_of
from services.alerter.notification.notification import Notification
from services.alerter.routing.file import short_receivers
from services.alerter.routing.receiver import Receiver
from services.alerter.rules.rule import Language
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.alert import Alert

_NEEDED = {"webhook": "LAPWING_ALERTER__WEBHOOK_URL", "email": "LAPWING_ALERTER__EMAIL_TO"}
_TEXTS = {
    "en": ("Test notification", "This is a test. If you can read it, alerts will reach you."),
    "zh": ("测试通知", "这是一条测试消息。如果您能看到它,说明告警可以送达。"),
}


async def send_test(
    settings: Settings, name: str, *, receivers: Iterable[Receiver] = (), clock: Clock | None = None
) -> str:
    """One attempt by each channel of a receiver to tell it something harmless; returns a sentence a channel.

    ``receivers``: those of the routing file. Raises ``SettingsError`` when there is no such receiver, or when one
    attempt did not arrive.
    """
    known = {r.name: r for r in (*short_receivers(settings), *receivers)}
    if name not in known:
        if name in _NEEDED:
            raise SettingsError(f"nothing to test: {_NEEDED[name]} is not set")
        names = ", ".join(dict.fromkeys((*known, *_NEEDED)))
        raise SettingsError(f"unknown channel {name!r}: it is one of {names}")
    channels = channels_of(known[name], settings)
    if not channels:
        raise SettingsError(f"nothing to test: receiver `{name}` has no way to be told")
    notification = trial(name, settings.alerter.language, (clock or SystemClock()).now_ms())
    try:
        outcomes = [await _attempt(channel, notification, settings) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()
    sentences = [_sentence(c, o) for c, o in zip(channels, outcomes, strict=True)]
    if any(isinstance(outcome, Failed) for outcome in outcomes):
        raise SettingsError("\n".join(sentences))
    return "\n".join(sentences)


def trial(receiver: str, language: Language, now_ms: int, trial_id: str = "") -> Notification:
    """Something harmless to tell; ``trial_id`` is the id of a ``Trial`` it answers."""
    title, text = _TEXTS[language]
    alert = Alert(
        event_id=f"test:{now_ms}",
        ts=now_ms,
        alert_id=f"test:{trial_id or now_ms}",
        fingerprint="7e57000000000000",
        host_id="lapwing-test",
        host="lapwing-test",
        rule="lapwing_test",
        state="firing",
        previous_state="inactive",
        severity="info",
        labels={"alertname": "lapwing_test", "severity": "info", "host": "lapwing-test", "condition": "test"},
        annotations={"summary": text, "title": title, "advice": text},
        value=0.0,
        threshold=0.0,
        started_at=now_ms,
        summary=text,
    )
    return Notification(
        receiver, "trial", '{}:{alertname="lapwing_test"}', {"alertname": "lapwing_test"}, (alert,), at=now_ms
    )


def _sentence(channel: Channel, outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return f"the test did not arrive at {channel.target}: {outcome.reason}"
    return f"the test was accepted for {channel.target}" + (f" ({outcome.detail})" if outcome.detail else "")


async def _attempt(channel: Channel, notification: Notification, settings: Settings) -> Outcome:
    try:
        async with asyncio.timeout(settings.alerter.timeout):
            return await channel.deliver(notification)
    except TimeoutError:
        return Failed(f"not done within {settings.alerter.timeout:g} s")
