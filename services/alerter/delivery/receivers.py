"""Who is told: from receivers as people write them to the channels that tell them.

A channel is loaded where one is asked for: with mail come a template engine and what draws charts, with apprise a
hundred services, 25 MB in all, and on most machines nobody asks for all of them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from services.alerter.delivery.channels.port import Channel
from services.alerter.evidence.port import Evidence
from services.alerter.routing.receiver import AppriseTo, MailTo, Receiver, WebhookTo
from shared.alerting.links import link_secret
from shared.runtime.settings import Settings, SettingsError, secret_from

_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104


def channels_of(receiver: Receiver, settings: Settings, evidence: Evidence | None = None) -> list[Channel]:
    """Its channels: mail, webhooks, the rest. Raises ``SettingsError`` with a sentence where one cannot work.

    ``evidence`` is shown by those that have room for it.
    """
    who = f"receiver `{receiver.name}`"
    found: list[Channel] = []
    if receiver.email:
        found.append(_email(who, receiver.email, settings, evidence))
    for number, webhook in enumerate(receiver.webhooks, 1):
        found.append(_webhook(who, _named("webhook", number), webhook, receiver.trusted, settings))
    for number, to in enumerate(receiver.apprise, 1):
        found.append(_apprise(who, _named("apprise", number), to, receiver.trusted, settings))
    return found


def external_url(settings: Settings) -> str:
    """Without a slash at its end; where the dashboard listens when nobody said how receivers see it."""
    host = socket.gethostname() if settings.api.host in _ANY_ADDRESS else settings.api.host
    host = f"[{host}]" if ":" in host else host
    return (settings.alerter.external_url or f"http://{host}:{settings.api.port}").rstrip("/")


def _named(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}-{number}"


def _email(who: str, to: MailTo, settings: Settings, evidence: Evidence | None) -> Channel:
    from services.alerter.delivery.channels.email import Email, Wording

    if not settings.smtp.host:
        raise SettingsError(f"{who} is mailed, but LAPWING_SMTP__HOST is not set: name the mail server")
    for address in to.to:
        if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", address):
            raise SettingsError(f"{who}, email: {address!r} is not an e-mail address")
    for what, source in (("subject", to.subject), ("text", to.text)):
        _check_template(f"{who}, email, {what}", source)
    return Email(
        settings.smtp,
        to.to,
        timeout=settings.alerter.timeout,
        wording=Wording(to.language or settings.alerter.language, to.subject, to.text),
        external_url=external_url(settings),
        link_secret=link_secret(settings),
        evidence=evidence,
    )


def _webhook(who: str, name: str, to: WebhookTo, trusted: bool, settings: Settings) -> Channel:
    from services.alerter.delivery.channels.webhook import SIGNATURE, Webhook
    from services.alerter.delivery.guard import Guarded

    url = _given(f"{who}, {name}", to.url, to.url_file)
    assert url
    _check_url(f"{who}, {name}", url())
    for key, value in to.headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", key) or not re.fullmatch(r"[\x20-\x7e\t]*", value):
            raise SettingsError(f"{who}, {name}: the header {key[:64]!r} must be one line of ASCII")
        if key.lower() in {*_OURS, SIGNATURE.lower()}:
            raise SettingsError(f"{who}, {name}: the header {key!r} is set by Lapwing")
    _check_template(f"{who}, {name}, body", to.body)
    return Webhook(
        url,
        name=name,
        external_url=external_url(settings),
        timeout=settings.alerter.timeout,
        secret=_given(f"{who}, {name}", to.secret, to.secret_file),
        headers=to.headers,
        template=to.body,
        transport=None if trusted or settings.alerter.allow_private_receivers else Guarded(),
    )


def _apprise(who: str, name: str, to: AppriseTo, trusted: bool, settings: Settings) -> Channel:
    from services.alerter.delivery.channels import apprise

    url = _given(f"{who}, {name}", to.url, to.url_file)
    assert url
    try:
        apprise.check(url(), trusted=trusted or settings.alerter.allow_private_receivers)
    except SettingsError as error:
        raise SettingsError(f"{who}, {name}: {error}") from None
    return apprise.Apprise(
        url,
        name=name,
        language=to.language or settings.alerter.language,
        external_url=external_url(settings),
    )


def _given(who: str, value: SecretStr | None, file: Path | None) -> Callable[[], str] | None:
    if value is not None:
        text = value.get_secret_value()
        return lambda: text
    if file is not None:
        secret_from(str(file), who)  # refused now, not when it is needed
        return lambda: secret_from(str(file), who)
    return None


def _check_url(who: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[\x00-\x20\x7f]", url):
        raise SettingsError(f"{who}: the URL must begin with `http://` or `https://` and name a host")


def _check_template(who: str, source: str | None) -> None:
    if source is None:
        return
    from services.alerter.delivery import sandbox

    try:
        sandbox.check(source)
    except sandbox.TemplateFault as fault:
        raise SettingsError(f"{who}: not a template: {fault}") from None
