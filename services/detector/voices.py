"""Two may speak of one thing: the models, who only know that it is unusual, and a finding that has a name for it.

Told is one. What the models say is kept back while a finding is open that explains most of it; a finding that opens
later takes over the anomaly that the models had opened. Either way their metrics go on as the finding's, and it is as
severe as they were, whose pages keep to the budget. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import blake2b
from typing import Any

from shared.schemas.anomaly import Anomaly, AnomalyState, Contribution, Severity

MOSTLY = 0.5
"""Of what makes an anomaly one; what a finding explains so much of is the same thing."""
TAIL_MS = 600_000
"""For so long after a finding is over what it explained may take to calm down without a word."""
MOST_CONTRIBUTIONS = 8
CALLED_NORMAL = "called normal"
_LOUDNESS: tuple[Severity, ...] = ("info", "warning", "critical")

_EXPLAINS: Mapping[str, tuple[str, ...]] = {
    "cpu_overload": ("cpu.", "pressure.cpu", "processes."),
    "load_spike": ("cpu.", "pressure.", "processes."),
    "pressure_storm": ("pressure.", "cpu.iowait", "cpu.load1", "processes.disk_sleep"),
    "swap_storm": ("swap.", "memory.", "pressure.", "disk_io.", "cpu.iowait"),
    "memory_leak": ("memory.", "swap.", "pressure.memory"),
    "disk_filling": ("disk.", "disk_io.", "pressure.io", "cpu.iowait"),
    "disk_full": ("disk.", "disk_io.", "pressure.io", "cpu.iowait"),
    "inode_exhaustion": ("disk.", "disk_io.", "pressure.io", "cpu.iowait"),
    "disk_slow": ("disk_io.", "pressure.io", "cpu.iowait", "cpu.load1", "processes.disk_sleep"),
    "process_crash": ("processes.",),
    "crash_loop": ("processes.",),
    "temperature": ("temperature.", "gpu.temperature"),
}
"""Beginnings of metrics that a finding explains; one that is not here explains the section of its own metric."""


@dataclass
class _Voice:
    """One that speaks. ``told_id`` is how it is called outside, ``told`` whether it is open there, ``spent`` whether an
    anomaly of that id was closed or given away, ``kept_back`` whether it was part of something else meanwhile.
    ``least``: the loudness it took over, which does not fall.
    """

    told_id: str
    started_at: int
    finding: str
    contributions: list[Contribution]
    told: bool = False
    spent: bool = False
    kept_back: bool = False
    least: int = 0
    peak: float = 0.0
    by: str = ""
    tail_ms: int = 0

    def explains(self, contribution: Contribution) -> bool:
        ours = self.contributions[0] if self.contributions else None
        known = _EXPLAINS.get(self.finding) or ((ours.metric.partition(".")[0],) if ours else ())
        if not contribution.metric.startswith(known):
            return False
        theirs = contribution.labels
        return ours is None or all(theirs.get(name, value) == value for name, value in ours.labels.items())


@dataclass
class _Host:
    """``named`` by the findings' own ids; ``models``: theirs is at most one; ``over``: the finding that took it in
    last, and is closed since less than ``TAIL_MS``.
    """

    named: dict[str, _Voice] = field(default_factory=dict)
    models_id: str = ""
    models: _Voice | None = None
    over: _Voice | None = None

    def who_explains(self, contributions: Sequence[Contribution], ts_ms: int) -> str | None:
        """The finding that what the models say is to be left to; empty for one that is over."""
        total = sum(c.share for c in contributions)
        voices = {name: voice for name, voice in self.named.items() if voice.told}
        if self.over and ts_ms - self.over.tail_ms > TAIL_MS:
            self.over = None
        if self.over:
            voices[""] = self.over
        parts = {name: sum(c.share for c in contributions if v.explains(c)) for name, v in voices.items()}
        explained = sum(c.share for c in contributions if any(v.explains(c) for v in voices.values()))
        if not total or explained < MOSTLY * total:
            return None
        return max(parts, key=lambda name: parts[name])


class Voices:
    """What is open and told, by host."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}

    def took_in(self, anomaly: Anomaly) -> bool:
        """Whether what the models say is part of this finding."""
        host = self._hosts.get(anomaly.host_id)
        return host is not None and host.models is not None and host.models.by == anomaly.anomaly_id

    def named(self, anomaly: Anomaly, *, normal: bool = False) -> list[Anomaly]:
        """What a finding says, as it is to be told; with its end ends what it took in. ``normal``: people want no word
        of it.
        """
        host = self._hosts.setdefault(anomaly.host_id, _Host())
        voice = host.named.get(anomaly.anomaly_id)
        if anomaly.state == "close":
            out = self._over(host, anomaly, host.named.pop(anomaly.anomaly_id, None))
            self._tidy(anomaly.host_id)
            return out
        if voice is None:
            voice = host.named[anomaly.anomaly_id] = _voice(anomaly)
        voice.contributions = list(anomaly.contributions)
        if normal:
            return [_told(voice, _closed(anomaly, CALLED_NORMAL))] if voice.told else []
        if not voice.told and (spoke := host.models) and spoke.told and _mostly(voice, spoke.contributions):
            _takes_over(voice, spoke, anomaly.anomaly_id)
        beside: Sequence[Contribution] = ()
        if host.models and host.models.by == anomaly.anomaly_id:
            beside, voice.least = host.models.contributions, max(voice.least, host.models.least)
        return [_told(voice, anomaly, beside)]

    def models(self, anomaly: Anomaly) -> list[Anomaly]:
        """What the models say, as it is to be told."""
        host = self._hosts.setdefault(anomaly.host_id, _Host())
        if host.models is None or host.models_id != anomaly.anomaly_id:
            if anomaly.state == "close":
                self._tidy(anomaly.host_id)
                return []
            host.models_id, host.models = anomaly.anomaly_id, _voice(anomaly)
        voice = host.models
        if anomaly.state == "close":
            host.models = None
            self._tidy(anomaly.host_id)
            return [_told(voice, anomaly)] if voice.told else []
        voice.contributions = list(anomaly.contributions)
        voice.peak = max(voice.peak, anomaly.peak_score)
        voice.least = max(voice.least, _LOUDNESS.index(anomaly.severity))
        by = host.who_explains(anomaly.contributions, anomaly.ts)
        if by is None or (voice.told and not by):
            voice.by = ""
            return [_told(voice, anomaly)]
        # What was told of something else, and is about this now, ends; the rest is in the finding.
        out = [_told(voice, _closed(anomaly, f"goes on as {host.named[by].finding}"))] if voice.told else []
        voice.by, voice.kept_back = by, True
        return out

    def forget(self, host_id: str) -> None:
        self._hosts.pop(host_id, None)

    def _over(self, host: _Host, anomaly: Anomaly, voice: _Voice | None) -> list[Anomaly]:
        if voice is None:
            return []
        beside: Sequence[Contribution] = ()
        if host.models and host.models.by == anomaly.anomaly_id:
            beside, host.models = host.models.contributions, None
            host.over, voice.tail_ms = voice, anomaly.ts
        return [_told(voice, anomaly, beside)] if voice.told else []

    def _tidy(self, host_id: str) -> None:
        host = self._hosts[host_id]
        if not host.named and host.models is None and host.over is None:
            del self._hosts[host_id]

    def state(self, host_id: str) -> dict[str, Any] | None:
        host = self._hosts.get(host_id)
        if host is None:
            return None
        return {
            "named": {name: _entry(voice) for name, voice in host.named.items()},
            "models_id": host.models_id,
            "models": _entry(host.models) if host.models else None,
            "over": _entry(host.over) if host.over else None,
        }

    def restore(self, host_id: str, state: Mapping[str, Any] | None) -> None:
        """Raises ``ValueError``, ``KeyError``, ``TypeError`` or ``AttributeError`` on what is no state."""
        if state is None:
            self.forget(host_id)
            return
        self._hosts[host_id] = _Host(
            named={str(name): _restored(entry) for name, entry in state["named"].items()},
            models_id=str(state["models_id"]),
            models=_restored(state["models"]) if state["models"] else None,
            over=_restored(state["over"]) if state["over"] else None,
        )


def _voice(anomaly: Anomaly) -> _Voice:
    return _Voice(anomaly.anomaly_id, anomaly.started_at, anomaly.finding, list(anomaly.contributions))


def _mostly(voice: _Voice, contributions: Iterable[Contribution]) -> bool:
    there = list(contributions)
    return sum(c.share for c in there if voice.explains(c)) >= MOSTLY * sum(c.share for c in there) > 0


def _takes_over(voice: _Voice, spoke: _Voice, name: str) -> None:
    voice.told_id, voice.started_at = spoke.told_id, spoke.started_at
    voice.least, voice.peak, voice.told, voice.spent = spoke.least, spoke.peak, True, False
    spoke.told, spoke.spent, spoke.by = False, True, name


def _told(voice: _Voice, anomaly: Anomaly, beside: Sequence[Contribution] = ()) -> Anomaly:
    if not voice.told and voice.spent:
        voice.told_id = _again(voice.told_id)
    if not voice.told and (voice.spent or voice.kept_back):
        voice.started_at = anomaly.ts  # what it is about now began now
    voice.kept_back = False
    state: AnomalyState = "close" if anomaly.state == "close" else "update" if voice.told else "open"
    voice.told, voice.spent = state != "close", state == "close"
    voice.peak = max(voice.peak, anomaly.peak_score)
    return anomaly.model_copy(
        update={
            "event_id": f"{voice.told_id}-{state}-{anomaly.ts}",
            "anomaly_id": voice.told_id,
            "state": state,
            "started_at": voice.started_at,
            "severity": _LOUDNESS[max(voice.least, _LOUDNESS.index(anomaly.severity))],
            "peak_score": voice.peak,
            "contributions": _together(anomaly.contributions, beside),
        }
    )


def _closed(anomaly: Anomaly, why: str) -> Anomaly:
    return anomaly.model_copy(
        update={
            "state": "close",
            "score": 0.0,
            "ended_at": anomaly.ts,
            "summary": f"Over ({why}): {anomaly.summary}"[:1024],
            "evidence": anomaly.evidence | {"ended": why},
        }
    )


def _together(ours: Sequence[Contribution], beside: Sequence[Contribution]) -> list[Contribution]:
    """Ours first; shares of all of them add up to one."""
    named = {(c.metric, *sorted(c.labels.items())) for c in ours}
    others = [c for c in beside if (c.metric, *sorted(c.labels.items())) not in named]
    if not others:
        return list(ours)
    some = [*ours, *others][:MOST_CONTRIBUTIONS]
    total = sum(c.share for c in some) or 1.0
    return [c.model_copy(update={"share": c.share / total}) for c in some]


def _again(told_id: str) -> str:
    """The name of what is told once more after it was closed."""
    return blake2b(f"{told_id} again".encode(), digest_size=12).hexdigest()


def _entry(voice: _Voice) -> dict[str, Any]:
    return {**asdict(voice), "contributions": [c.model_dump() for c in voice.contributions]}


def _restored(entry: Mapping[str, Any]) -> _Voice:
    known = {f.name: entry[f.name] for f in fields(_Voice)}
    return _Voice(**{**known, "contributions": [Contribution.model_validate(c) for c in entry["contributions"]]})
