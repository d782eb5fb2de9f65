"""From what is held now to what is said: opened once, updated now and then, closed once with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

import msgspec

from services.detector.findings.port import Sighting
from shared.schemas.anomaly import Anomaly, AnomalyState, Severity

UPDATE_EVERY_MS = 30_000
MOST_OPEN = 32
"""Of one host; more of them say nothing more."""
_SCORES: Mapping[Severity, float] = {"info": 1.1, "warning": 2.0, "critical": 4.0}
_LONGEST = 200
_MOST_EVIDENCE = 12


class About(msgspec.Struct):
    """The host an episode is about, as it last called itself."""

    host_id: str
    name: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class Episode(msgspec.Struct):
    anomaly_id: str
    sighting: Sighting
    since_ms: int
    told_ms: int
    peak: float


class Episodes(msgspec.Struct):
    """Those of one host that are open, by finding and labels."""

    open: dict[str, Episode] = msgspec.field(default_factory=dict)

    def step(
        self, about: About, ts_ms: int, held: Iterable[Sighting], ended: Callable[[str], str], not_before_ms: int
    ) -> list[Anomaly]:
        """``ended`` says why a finding is over. Nothing began before ``not_before_ms``: what went on before a silence
        was closed then, and would be closed twice.
        """
        out = []
        there = set()
        for sighting in held:
            key = _key(sighting)
            there.add(key)
            episode = self.open.get(key)
            score = _SCORES[sighting.severity]
            if episode is None:
                if len(self.open) >= MOST_OPEN:
                    continue
                since = max(sighting.since_ms, not_before_ms)
                episode = Episode(_anomaly_id(about.host_id, key, since), sighting, since, ts_ms, score)
                self.open[key] = episode
                out.append(_event(about, episode, "open", ts_ms))
                continue
            changed = sighting.severity != episode.sighting.severity
            episode.sighting, episode.peak = sighting, max(episode.peak, score)
            if changed or ts_ms - episode.told_ms >= UPDATE_EVERY_MS:
                episode.told_ms = ts_ms
                out.append(_event(about, episode, "update", ts_ms))
        if len(there) < len(self.open):
            for key in [k for k in self.open if k not in there]:
                episode = self.open.pop(key)
                out.append(_event(about, episode, "close", ts_ms, ended(episode.sighting.finding), ts_ms))
        return out

    def close(self, about: About, ts_ms: int, ended_at: int, why: str) -> list[Anomaly]:
        """All of them, because nothing is known any more."""
        out = [_event(about, e, "close", ts_ms, why, max(ended_at, e.since_ms)) for e in self.open.values()]
        self.open.clear()
        return out


def _key(sighting: Sighting) -> str:
    return "\x00".join([sighting.finding, *(f"{k}={v}" for k, v in sorted(sighting.labels.items()))])


def _anomaly_id(host_id: str, key: str, since_ms: int) -> str:
    """The same for the same host, finding, labels and beginning, so that what is told twice is told once."""
    return blake2b(f"{host_id}\x00{key}\x00{since_ms}".encode("utf-8", "replace"), digest_size=12).hexdigest()


def _event(
    about: About, episode: Episode, state: AnomalyState, ts_ms: int, why: str = "", ended_at: int | None = None
) -> Anomaly:
    sighting = episode.sighting
    evidence = {k[:64]: v[:_LONGEST] for k, v in list(sighting.evidence.items())[:_MOST_EVIDENCE]}
    return Anomaly(
        event_id=f"{episode.anomaly_id}-{state}-{ts_ms}",
        ts=ts_ms,
        anomaly_id=episode.anomaly_id,
        host_id=about.host_id,
        host=about.name[:256],
        labels=about.labels | sighting.labels,
        state=state,
        finding=sighting.finding,
        severity=sighting.severity,
        score=0.0 if state == "close" else _SCORES[sighting.severity],
        peak_score=episode.peak,
        started_at=episode.since_ms,
        ended_at=ended_at,
        summary=(f"Over ({why}): " if why else "") + sighting.summary[:900],
        contributions=list(sighting.contributions),
        evidence=evidence | ({"ended": why} if why else {}),
    )
