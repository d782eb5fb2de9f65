"""Receivers as people write them: a name, the channels behind it, and how much it may be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from services.alerter.fields import Duration, Part

ReceiverName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f#]+$")]


def _secret(value: Any) -> Any:
    return SecretStr(value) if isinstance(value, str) else value


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value


Secret = Annotated[SecretStr, BeforeValidator(_secret)]
SecretFile = Annotated[Path, BeforeValidator(_path)]


class MailTo(Part):
    to: Annotated[list[str], Field(min_length=1)]
    language: Literal["en", "zh"] | None = None
    subject: str | None = None
    """A Jinja2 template in place of ours; sandboxed."""
    text: str | None = None


class WebhookTo(Part):
    url: Secret | None = None
    url_file: SecretFile | None = None
    secret: Secret | None = None
    secret_file: SecretFile | None = None
    headers: dict[str, str] = {}
    body: str | None = None
    """A Jinja2 template in place of Alertmanager's version 4 body; sandboxed."""

    @model_validator(mode="after")
    def _one_url(self) -> WebhookTo:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("must have exactly one of `url` and `url_file`")
        return self


class AppriseTo(Part):
    """Anything that apprise knows: ``slack://…``, ``tgram://…``, ``dingtalk://…``, ``ntfy://…``."""

    url: Secret | None = None
    url_file: SecretFile | None = None
    language: Literal["en", "zh"] | None = None

    @model_validator(mode="after")
    def _one_url(self) -> AppriseTo:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("must have exactly one of `url` and `url_file`")
        return self


class Cap(Part):
    """At most so many messages in any stretch of that length; what is held back is told in one digest."""

    messages: Annotated[int, Field(ge=1)] = 30
    per: Duration = 600_000


class Receiver(Part):
    name: ReceiverName
    email: MailTo | None = None
    webhooks: list[WebhookTo] = []
    apprise: list[AppriseTo] = []
    send_resolved: bool = True
    cap: Cap = Cap()
    trusted: bool = True
    """Whether its addresses may be private: those of the operator's own settings may, those entered through the API
    only where `LAPWING_ALERTER__ALLOW_PRIVATE_RECEIVERS` says so. Not written in files.
    """

    @property
    def ways(self) -> int:
        """How many channels it is told by."""
        return (self.email is not None) + len(self.webhooks) + len(self.apprise)
