"""What an evaluator remembers of a host."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.alerter.evaluation.forecast import Series
from services.alerter.evaluation.state import Episode
from services.alerter.evaluation.timeline import Timeline
from shared.schemas.alert import Alert

Key = tuple[str, str]
"""``(rule, instance)``: the mountpoint, the device; empty where there is only one."""

_REMEMBERED_ANOMALIES = 64


@dataclass(slots=True)
class Host:
    host_id: str
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    samples: Timeline = field(default_factory=Timeline)
    anomalies: Timeline = field(default_factory=Timeline)
    ahead: bool = False
    """Whether its clock was last found to be far ahead of ours."""
    episodes: dict[Key, Episode] = field(default_factory=dict)
    told: dict[Key, Alert] = field(default_factory=dict)
    """The last event about each episode: what the next one is made from."""
    badness: dict[Key, float] = field(default_factory=dict)
    """How bad each episode was when it was last told."""
    rhythm: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Section -> when it was last there, and the pause before that."""
    series: dict[Key, Series] = field(default_factory=dict)
    """Of forecasts."""
    seen: dict[Key, int] = field(default_factory=dict)
    """When what would be missed was last there."""
    open_anomalies: dict[Key, set[str]] = field(default_factory=dict)
    closed_anomalies: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_ANOMALIES))
