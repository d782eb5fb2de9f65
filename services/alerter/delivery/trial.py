"""Try a receiver: what ``lapwing alert test RECEIVER`` does."""

from __future__ import annotations

import asyncio

from services.alerter.delivery.channels.port import Channel, Failed, Outcome
from services.alerter.delivery.receivers import channels_of
from services.alerter.notification.notification import Notification
from services.alerter.notification.trials import Trials
from services.alerter.routing.file import RoutingError, load_plan
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.settings import Settings, SettingsError
from shared.schemas.control import Trial

_NEEDED = {"webhook": "LAPWING_ALERTER__WEBHOOK_URL", "email": "LAPWING_ALERTER__EMAIL_TO"}


async def send_test(settings: Settings, name: str, *, clock: Clock | None = None) -> str:
    """One attempt by each channel of a receiver to tell it something harmless; returns a sentence a channel.

    Receivers are those of the two short settings and of the routing file. Raises ``SettingsError`` when there is no
    such receiver, or when one attempt did not arrive.
    """
    try:
        known = load_plan(settings).receivers
    except RoutingError as error:
        raise SettingsError(f"LAPWING_ALERTER__ROUTING: {error}") from None
    if name not in known:
        if name in _NEEDED:
            raise SettingsError(f"nothing to test: {_NEEDED[name]} is not set")
        names = ", ".join(dict.fromkeys((*known, *_NEEDED)))
        raise SettingsError(f"unknown receiver {name!r}: it is one of {names}")
    channels = channels_of(known[name], settings)
    notification = _notification(name, (clock or SystemClock()).now_ms())
    try:
        outcomes = [await _attempt(channel, notification, settings) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()
    sentences = [_sentence(c, o) for c, o in zip(channels, outcomes, strict=True)]
    if any(isinstance(outcome, Failed) for outcome in outcomes):
        raise SettingsError("\n".join(sentences))
    return "\n".join(sentences)


def _notification(receiver: str, now_ms: int) -> Notification:
    """The same as when it is asked for through the API."""
    trials = Trials()
    trials.put(Trial(event_id=f"test:{now_ms}", ts=now_ms, id=f"test:{now_ms}", receiver=receiver))
    (notification,) = trials.take(now_ms)
    return notification


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
