"""Who is told: the receivers that the settings name, the short way."""

from __future__ import annotations

from services.alerter.delivery.channels.email import Email
from services.alerter.delivery.channels.port import Channel
from services.alerter.delivery.channels.webhook import Webhook
from shared.runtime.settings import Settings, SettingsError


def receivers(settings: Settings) -> dict[str, Channel]:
    """Receiver -> its channel. Raises ``SettingsError`` where one is named but cannot work."""
    found: dict[str, Channel] = {}
    alerter = settings.alerter
    if alerter.webhook_url:
        found["webhook"] = Webhook(alerter.webhook_url, external_url=external_url(settings), timeout=alerter.timeout)
    if alerter.email_to:
        if not settings.smtp.host:
            raise SettingsError(
                "LAPWING_ALERTER__EMAIL_TO is set but LAPWING_SMTP__HOST is not: name the mail server, e.g. `localhost`"
            )
        found["email"] = Email(
            settings.smtp,
            alerter.email_to,
            timeout=alerter.timeout,
            language=alerter.language,
            external_url=alerter.external_url,
        )
    return found


def external_url(settings: Settings) -> str:
    """Without a slash at its end; where the dashboard listens when nobody said how receivers see it."""
    return (settings.alerter.external_url or f"http://{settings.api.host}:{settings.api.port}").rstrip("/")
