"""From scores to episodes: when something unusual is worth a word, and when it is over. Pure; event time only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import blake2b
from typing import Any, Literal

from services.detector.bank import Verdict
from services.detector.wording import finding, moved, summary
from shared.schemas.anomaly import Anomaly, AnomalyState, Contribution, Severity

Ended = Literal["recovered", "became normal", "no data"]
"""Why an episode is over: values are back; they stayed where they were long enough to be the new normal; the host
sent nothing any more."""

UPDATE_EVERY_MS = 30_000
SILENT_MS = 900_000
"""An episode of a host that says nothing for so long, while others do, is closed."""
FORGIVEN_GAP_MS = 60_000
"""After a longer silence what was beginning to look unusual begins anew."""
CRITICAL_SCORE = 3.0
NAMED = 3
MATTERS = 0.25
"""A metric with a smaller share in an episode does not say whether it is over."""
CALM = 0.8
"""Below this share of the threshold a host is calm again: what opened an episode must not flicker around it."""


@dataclass(frozen=True)
class Host:
    """Who it is about."""

    host_id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Episode:
    """An anomaly that has been opened and not closed. ``paged``: it was worth a page, not only a line in the list."""

    anomaly_id: str
    host: Host
    started_at: int
    last_ms: int
    score: float
    peak_score: float
    severity: Severity
    contributions: tuple[Contribution, ...]
    finding: str
    told_ms: int
    paged: bool = False


@dataclass
class _Watched:
    """What is remembered of a host: ``since`` is when the unusual began, ``calm_since`` when it last ended;
    ``heard_ms`` is the newest instant of any host when this one was last heard of, so that no clock that is wrong
    looks like silence.
    """

    last_ms: int
    heard_ms: int
    since: int | None = None
    calm_since: int | None = None
    paged: bool = False
    episode: Episode | None = None


class Judge:
    """One host's events come in order of time (the bank sees to it); different hosts do not know of each other."""

    def __init__(self, *, threshold: float, open_after: float, close_after: float) -> None:
        self._threshold = threshold
        self._open_after_ms = open_after * 1000
        self._close_after_ms = close_after * 1000
        self._hosts: dict[str, _Watched] = {}
        self._newest_ms = 0

    def state(self, host_id: str) -> dict[str, Any] | None:
        """What is remembered of a host, as plain values; ``None`` of one that is calm."""
        watched = self._hosts.get(host_id)
        if watched is None:
            return None
        return {**{f.name: getattr(watched, f.name) for f in fields(watched)}, "episode": _entry(watched.episode)}

    def restore(self, host_id: str, state: Mapping[str, Any] | None) -> None:
        """Go on from there. Raises ``ValueError``, ``KeyError`` or ``TypeError``, and changes nothing."""
        if state is None:
            self._hosts.pop(host_id, None)
            return
        watched = _Watched(**{**state, "episode": _episode(state["episode"])})
        self._newest_ms = max(self._newest_ms, watched.heard_ms)
        self._hosts[host_id] = watched

    def forget(self, host_id: str) -> None:
        self._hosts.pop(host_id, None)

    def step(
        self,
        host: Host,
        ts_ms: int,
        verdict: Verdict,
        value_of: Callable[[str], float | None],
    ) -> list[Anomaly]:
        """What there is to say after this event: nothing, mostly. ``value_of``: a feature of the host as last heard."""
        self._newest_ms = max(self._newest_ms, ts_ms)
        watched = self._hosts.get(host.host_id)
        if watched is None:
            if verdict.warming_up or verdict.score <= self._threshold:
                return []
            watched = self._hosts[host.host_id] = _Watched(ts_ms, self._newest_ms)
        if ts_ms - watched.last_ms > FORGIVEN_GAP_MS:
            watched.since = watched.calm_since = None
        watched.last_ms, watched.heard_ms = ts_ms, self._newest_ms
        if verdict.warming_up and watched.episode is None:
            return []
        watched.paged |= verdict.page
        if watched.episode is None:
            return self._calm_host(host, ts_ms, verdict, watched)
        return self._open_host(host, ts_ms, verdict, value_of, watched, watched.episode)

    def sweep(self) -> list[Anomaly]:
        """Close the episodes of hosts that have been silent while others were not."""
        out = []
        for host_id, watched in list(self._hosts.items()):
            if self._newest_ms - watched.heard_ms > SILENT_MS:
                if watched.episode:
                    out.append(self._close(watched, watched.last_ms, self._newest_ms, "no data"))
                else:
                    del self._hosts[host_id]
        return out

    def _calm_host(self, host: Host, ts_ms: int, verdict: Verdict, watched: _Watched) -> list[Anomaly]:
        if verdict.score <= self._threshold:
            watched.calm_since = watched.calm_since or ts_ms
            # One quiet sample in a storm is not its end.
            if ts_ms - watched.calm_since >= self._open_after_ms / 2:
                del self._hosts[host.host_id]
            return []
        watched.calm_since = None
        watched.since = watched.since if watched.since is not None else ts_ms
        if ts_ms - watched.since < self._open_after_ms:
            return []
        watched.episode = Episode(
            anomaly_id=_anomaly_id(host.host_id, watched.since),
            host=host,
            started_at=watched.since,
            last_ms=ts_ms,
            score=verdict.score,
            peak_score=verdict.score,
            severity=_severity(verdict.score, watched.paged),
            contributions=verdict.contributions,
            finding=finding(verdict.contributions),
            told_ms=ts_ms,
            paged=watched.paged,
        )
        return [_event(watched.episode, "open", ts_ms)]

    def _open_host(
        self,
        host: Host,
        ts_ms: int,
        verdict: Verdict,
        value_of: Callable[[str], float | None],
        watched: _Watched,
        before: Episode,
    ) -> list[Anomaly]:
        peak = max(before.peak_score, verdict.score)
        # What the episode is about is what it was about at its worst.
        worst = verdict.score >= before.peak_score and verdict.contributions
        episode = replace(
            before,
            host=host,
            last_ms=ts_ms,
            score=verdict.score,
            peak_score=peak,
            severity=_severity(peak, watched.paged),
            paged=watched.paged,
            contributions=verdict.contributions if worst else before.contributions,
            finding=finding(verdict.contributions) if worst else before.finding,
        )
        watched.episode = episode
        if verdict.score > self._threshold * CALM:
            watched.calm_since = None
            changed = (episode.severity, episode.finding) != (before.severity, before.finding)
            if changed or ts_ms - episode.told_ms >= UPDATE_EVERY_MS:
                watched.episode = replace(episode, told_ms=ts_ms)
                return [_event(watched.episode, "update", ts_ms)]
            return []
        watched.calm_since = watched.calm_since if watched.calm_since is not None else ts_ms
        if ts_ms - watched.calm_since < self._close_after_ms:
            return []
        stayed = _stayed(episode, value_of)
        why: Ended = "became normal" if stayed else "recovered"
        return [self._close(watched, watched.calm_since, ts_ms, why, stayed)]

    def _close(self, watched: _Watched, ended_at: int, ts_ms: int, why: Ended, stayed: str = "") -> Anomaly:
        assert watched.episode
        event = _event(watched.episode, "close", ts_ms, ended_at=ended_at, why=why, stayed=stayed)
        del self._hosts[watched.episode.host.host_id]
        return event


def _event(
    episode: Episode,
    state: AnomalyState,
    ts_ms: int,
    *,
    ended_at: int | None = None,
    why: Ended | None = None,
    stayed: str = "",
) -> Anomaly:
    return Anomaly(
        event_id=f"{episode.anomaly_id}-{state}-{ts_ms}",
        ts=ts_ms,
        anomaly_id=episode.anomaly_id,
        host_id=episode.host.host_id,
        host=episode.host.name,
        labels=dict(episode.host.labels),
        state=state,
        finding=episode.finding,
        severity=episode.severity,
        score=episode.score,
        peak_score=episode.peak_score,
        started_at=episode.started_at,
        ended_at=ended_at,
        summary=summary(episode.host.name, episode.contributions, why),
        contributions=list(episode.contributions),
        evidence=({"ended": why} if why else {}) | ({"stayed": stayed} if stayed else {}),
    )


def _anomaly_id(host_id: str, started_at: int) -> str:
    """The same for the same host and beginning, so that what is told twice is told once."""
    return blake2b(f"{host_id} {started_at}".encode(), digest_size=12).hexdigest()


def _severity(peak: float, paged: bool) -> Severity:
    if not paged:
        return "info"
    return "critical" if peak >= CRITICAL_SCORE else "warning"


def _entry(episode: Episode | None) -> dict[str, Any] | None:
    if episode is None:
        return None
    return {**asdict(episode), "contributions": [c.model_dump() for c in episode.contributions]}


def _episode(entry: Mapping[str, Any] | None) -> Episode | None:
    if entry is None:
        return None
    contributions = tuple(Contribution.model_validate(c) for c in entry["contributions"])
    return Episode(**{**entry, "host": Host(**entry["host"]), "contributions": contributions})


def _stayed(episode: Episode, value_of: Callable[[str], float | None]) -> str:
    """Which of the metrics it was about are where they were not before, now that this is normal; empty: none is."""
    away = []
    for c in episode.contributions[:NAMED]:
        value = value_of(c.metric + "".join(f"{{{label}}}" for label in c.labels.values()))
        if value is not None and c.share >= MATTERS and not c.expected_low <= value <= c.expected_high:
            away.append(moved(c, value))
    return ", ".join(away)
