"""Whom to tell what and when: everything that was decided beforehand, in one value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from services.alerter.routing.receiver import AppriseTo, MailTo, Receiver, WebhookTo
from shared.alerting.routing import taken
from shared.schemas.control import InhibitRule, Matcher, QuietHours, ReceiverEntry, ReceiverInfo, RouteEntry


@dataclass(frozen=True)
class Flapping:
    """Firing this often within so long is called flapping, until it was still for as long again."""

    times: int = 5
    within_ms: int = 1_800_000


@dataclass(frozen=True)
class Plan:
    """``receivers`` by name; each route names one of them, or nobody; ``routes[0]`` is the root."""

    routes: tuple[RouteEntry, ...]
    receivers: dict[str, Receiver] = field(default_factory=dict)
    inhibit_rules: tuple[InhibitRule, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()
    flapping: Flapping = Flapping()


@dataclass(frozen=True)
class SetupParts:
    """What ``Setup`` says of a plan: no secrets."""

    routes: list[RouteEntry]
    receivers: list[ReceiverInfo]
    inhibit_rules: list[InhibitRule]
    quiet_hours: list[QuietHours]


def setup_parts(plan: Plan) -> SetupParts:
    return SetupParts(
        list(plan.routes),
        [_info(r) for r in plan.receivers.values()],
        list(plan.inhibit_rules),
        list(plan.quiet_hours),
    )


def with_entered(plan: Plan, entries: Iterable[ReceiverEntry]) -> Plan:
    """The plan with the receivers that were entered through the API.

    Each is told what its matchers mean, beside whoever is told without it: the tree that was becomes the last child of
    a root like its own, after theirs. One that cannot be a receiver, or whose name is taken, changes nothing.
    """
    found = [(r, e) for e in entries if e.id not in plan.receivers and (r := _entered(e))]
    if not found:
        return plan
    receivers = plan.receivers | {r.name: r for r, _ in found}
    usual, urgent = (_like(plan, labels) for labels in ({}, {"severity": "critical"}))
    routes = [usual]
    for receiver, entry in found:
        own = {"receiver": receiver.name}
        parent = len(routes)
        subscribed = {**own, "parent": 0, "matchers": list(entry.matchers), "continues": True}
        routes.append(usual.model_copy(update=subscribed))
        routes.append(urgent.model_copy(update={**own, "parent": parent, "matchers": [_CRITICAL]}))
    here = len(routes)
    routes += [r.model_copy(update={"parent": here + r.parent if r.parent >= 0 else 0}) for r in plan.routes]
    return replace(plan, routes=tuple(routes), receivers=receivers)


_CRITICAL = Matcher(name="severity", value="critical")


def _like(plan: Plan, labels: Mapping[str, str]) -> RouteEntry:
    """How an alert with these labels is told in this plan, for anybody and at any hour."""
    found = taken(plan.routes, labels)
    like = plan.routes[found[0]] if found else RouteEntry(parent=-1, receiver="", group_by=["alertname"])
    return like.model_copy(
        update={"parent": -1, "receiver": "", "matchers": [], "continues": False, "quiet": [], "steps": []}
    )


def _entered(entry: ReceiverEntry) -> Receiver | None:
    try:
        email, webhooks, apprise = None, [], []
        if entry.channel == "email":
            email = MailTo(to=[a.strip() for a in entry.target.split(",") if a.strip()])
        elif entry.channel == "webhook":
            secret = SecretStr(entry.secret) if entry.secret else None
            webhooks = [WebhookTo(url=SecretStr(entry.target), secret=secret, headers=entry.headers)]
        else:
            apprise = [AppriseTo(url=SecretStr(entry.target))]
        return Receiver(name=entry.id, email=email, webhooks=webhooks, apprise=apprise, trusted=False)
    except ValidationError:
        return None


def _info(receiver: Receiver) -> ReceiverInfo:
    channels, targets = [], []
    if receiver.email:
        channels.append("email")
        targets += receiver.email.to
    for webhook in receiver.webhooks:
        channels.append("webhook")
        targets.append(_place(webhook.url, webhook.url_file))
    for service in receiver.apprise:
        channels.append("apprise")
        targets.append(_scheme(service.url))
    return ReceiverInfo(
        name=receiver.name,
        channels=channels,
        target=", ".join(t for t in targets if t)[:4096],
        source="settings" if receiver.trusted else "api",
    )


def _place(url: SecretStr | None, file: object) -> str:
    """Scheme and host only: paths of webhooks are passwords."""
    if url is None:
        return f"from {file}"
    try:
        parts = urlsplit(url.get_secret_value())
        return f"{parts.scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return ""


def _scheme(url: SecretStr | None) -> str:
    return f"{url.get_secret_value().split(':', 1)[0]}://" if url else ""
