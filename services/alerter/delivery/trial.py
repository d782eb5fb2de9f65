"""Try a receiver: what ``lapwing alert test CHANNEL`` does."""

from __future__ import annotations

import asyncio

from services.alerter.delivery.channels.port import Channel, Failed, Outcome
from services.alerter.delivery.channels.webhook import where
from services.alerter.delivery.receivers import receivers
from services.alerter.notification.notification import Notification
from services.alerter.rules.rule import Language
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.alert import Alert

_NEEDED = {"webhook": "LAPWING_ALERTER__WEBHOOK_URL", "email": "LAPWING_ALERTER__EMAIL_TO"}
_TEXTS = {
    "en": ("Test notification", "This is a test. If you can read it, alerts will reach you."),
    "zh": ("测试通知", "这是一条测试消息。如果您能看到它,说明告警可以送达。"),
}


async def send_test(settings: Settings, channel: str, *, clock: Clock | None = None) -> str:
    """One attempt to tell the receiver of ``channel`` something harmless; returns a sentence.

    Raises ``SettingsError`` when nothing is configured for it or when it did not arrive.
    """
    if channel not in _NEEDED:
        raise SettingsError(f"unknown channel {channel!r}: it is one of {', '.join(_NEEDED)}")
    found = receivers(settings)
    try:
        if channel not in found:
            raise SettingsError(f"nothing to test: {_NEEDED[channel]} is not set")
        alert = _alert(clock or SystemClock(), settings.alerter.language)
        outcome = await _attempt(
            found[channel], Notification(channel, "firing", alert.rule, alert.severity, (alert,)), settings
        )
    finally:
        for used in found.values():
            await used.close()
    target = where(settings.alerter.webhook_url or "") if channel == "webhook" else ", ".join(settings.alerter.email_to)
    if isinstance(outcome, Failed):
        raise SettingsError(f"the test did not arrive at {target}: {outcome.reason}")
    return f"the test was accepted for {target}" + (f" ({outcome.detail})" if outcome.detail else "")


async def _attempt(channel: Channel, notification: Notification, settings: Settings) -> Outcome:
    try:
        async with asyncio.timeout(settings.alerter.timeout):
            return await channel.deliver(notification)
    except TimeoutError:
        return Failed(f"not done within {settings.alerter.timeout:g} s")


def _alert(clock: Clock, language: Language) -> Alert:
    now = clock.now_ms()
    title, text = _TEXTS[language]
    return Alert(
        event_id=f"test:{now}",
        ts=now,
        alert_id=f"test:{now}",
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
        started_at=now,
        summary=text,
    )
