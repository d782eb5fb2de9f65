"""What is to be remembered: what people tell the product, and how the alerter is set up.

The events on the compacted topic ``lapwing.control.v1``.

Key = ``<kind>:<id>``: the last event of a key is the truth, and a message without a value forgets it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.anomaly import Severity
from shared.schemas.base import EpochMs, Event, HostId, Name, Wire


class Matcher(Wire):
    """Alertmanager's label matcher."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    value: Annotated[str, Field(max_length=1024)]
    is_regex: bool = False
    is_equal: bool = True


class Silence(Event):
    kind: Literal["silence"] = "silence"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    matchers: Annotated[list[Matcher], Field(min_length=1)]
    starts_at: EpochMs
    ends_at: EpochMs
    author: Name
    comment: Annotated[str, Field(max_length=4096)] = ""


class Acknowledgement(Event):
    """``id`` is the alert's ``alert_id``."""

    kind: Literal["ack"] = "ack"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    author: Name
    note: Annotated[str, Field(max_length=4096)] = ""
    expires_at: EpochMs | None = None
    severity: Annotated[Severity | None, Field(description="The alert's when it was acknowledged.")] = None
    value: Annotated[float | None, Field(description="The alert's when it was acknowledged.")] = None


class Meant(Wire):
    """A metric that an opinion is about, and the values it had: ``low`` to ``high``."""

    metric: Name
    labels: dict[str, str] = {}
    low: float
    high: float


class Feedback(Event):
    """``id`` is the anomaly's ``anomaly_id``; ``metrics`` are those that made it one."""

    kind: Literal["feedback"] = "feedback"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    host_id: HostId
    verdict: Literal["normal", "real"]
    author: Name
    note: Annotated[str, Field(max_length=4096)] = ""
    metrics: Annotated[list[Meant], Field(max_length=32)] = []


class ReceiverEntry(Event):
    """A receiver that was entered through the API, with what it subscribes to. ``id`` is its name."""

    kind: Literal["receiver"] = "receiver"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    channel: Literal["webhook", "email", "apprise"]
    target: Annotated[str, Field(min_length=1, max_length=4096, description="A URL, or addresses with commas.")]
    secret: Annotated[str, Field(max_length=1024, description="Signs webhooks.")] = ""
    headers: dict[str, str] = {}
    matchers: Annotated[list[Matcher], Field(description="All must hold; none: everything that fires.")] = []
    author: Name = ""


class Trial(Event):
    """Please tell this receiver something harmless; the answer is a ``Delivery`` with ``notification_id`` = ``id``."""

    kind: Literal["trial"] = "trial"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    receiver: Name
    author: Name = ""


class Watched(Event):
    """A host whose silence would be missed. ``id`` is its host id; forgotten when it is retired."""

    kind: Literal["watched"] = "watched"
    id: HostId
    host: Name
    labels: dict[str, str] = {}


class UsedLink(Event):
    """A signed link that was followed, and so works no more. ``id`` is its nonce."""

    kind: Literal["link"] = "link"
    id: Annotated[str, Field(min_length=1, max_length=128)]
    expires_at: EpochMs
    action: Name = ""


class RuleEntry(Wire):
    """A rule in force, for people: ``condition`` is a sentence."""

    name: Name
    title: Name
    severity: Severity
    watches: Annotated[Name, Field(description="metric, forecast, anomaly, absent, silent or late.")]
    condition: Annotated[str, Field(max_length=1024)]
    matchers: list[Matcher] = []
    labels: dict[str, str] = {}
    metric: Name = ""
    enabled: bool = True
    source: Annotated[str, Field(description="The file it is from; `shipped` for ours.")] = ""


class Step(Wire):
    """Whom to tell when nobody acknowledged for so long."""

    after_ms: EpochMs
    receiver: Name


class RouteEntry(Wire):
    """A node of the routing tree with what it inherits. Depth first, the root first; ``parent`` is an index."""

    parent: Annotated[int, Field(ge=-1)]
    receiver: Name
    matchers: list[Matcher] = []
    continues: bool = False
    group_by: Annotated[list[str], Field(description="Label names; `...` alone: every alert by itself.")] = []
    group_wait_ms: EpochMs = 30_000
    group_interval_ms: EpochMs = 300_000
    repeat_interval_ms: EpochMs = 14_400_000
    quiet: Annotated[list[str], Field(description="Names of the quiet hours during which it is quiet.")] = []
    steps: Annotated[list[Step], Field(description="Escalation.")] = []


class InhibitRule(Wire):
    """While an alert that ``source`` means fires, those that ``target`` means are not told, where ``equal`` agree."""

    source: list[Matcher]
    target: list[Matcher]
    equal: list[str] = []


class QuietHours(Wire):
    """A weekly stretch of local time; ``ends`` not after ``begins`` is the next day's. Minutes since midnight."""

    name: Name
    zone: Name
    days: Annotated[list[int], Field(description="0 is Monday; the day on which it begins.")]
    begins: Annotated[int, Field(ge=0, le=1439)]
    ends: Annotated[int, Field(ge=0, le=1440)]
    lets_through: Annotated[list[Matcher], Field(description="What is told all the same; all must hold.")] = []


class ReceiverInfo(Wire):
    """A receiver in force, without its secrets."""

    name: Name
    channels: list[Name]
    target: Annotated[str, Field(max_length=4096)] = ""
    source: Name = ""


class Setup(Event):
    """How the alerter is set up, as it is in force. ``id`` is ``alerter``."""

    kind: Literal["setup"] = "setup"
    id: Literal["alerter"] = "alerter"
    rules: list[RuleEntry] = []
    routes: list[RouteEntry] = []
    receivers: list[ReceiverInfo] = []
    inhibit_rules: list[InhibitRule] = []
    quiet_hours: list[QuietHours] = []
    silent_after_ms: EpochMs = 60_000
    problems: Annotated[list[str], Field(description="Why a changed file was refused; empty when all is well.")] = []


Control = Silence | Acknowledgement | Feedback | ReceiverEntry | Trial | Watched | UsedLink | Setup
CONTROLS = (Silence, Acknowledgement, Feedback, ReceiverEntry, Trial, Watched, UsedLink, Setup)


def key_of(event: Control) -> str:
    """The compaction key: ``<kind>:<id>``."""
    return f"{event.kind}:{event.id}"
