"""Whom to tell what and when: everything that was decided beforehand, in one value."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.alerter.routing.receiver import Receiver
from shared.schemas.control import InhibitRule, QuietHours, RouteEntry


@dataclass(frozen=True)
class Flapping:
    """Firing this often within so long is called flapping, until it was still for as long again."""

    times: int = 5
    within_ms: int = 1_800_000


@dataclass(frozen=True)
class Plan:
    """``receivers`` by name; every ``RouteEntry.receiver`` is one of them, ``routes[0]`` is the root."""

    routes: tuple[RouteEntry, ...]
    receivers: dict[str, Receiver] = field(default_factory=dict)
    inhibit_rules: tuple[InhibitRule, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()
    flapping: Flapping = Flapping()
