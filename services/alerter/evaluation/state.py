"""The state machine of one alert: pure, driven by the times of what was read, every transition with its reason.

    inactive --beyond--> pending --beyond for long enough--> firing --calm for long enough--> resolved (= inactive)
                            `------calm or gone------> inactive

Two thresholds make a band. ``BEYOND`` the first an alert begins; on the ``CALM`` side of the second it ends; what lies
``BETWEEN`` changes nothing, except that an alert fires on a reading beyond the first threshold only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Literal

State = Literal["inactive", "pending", "firing", "resolved"]


class Verdict(Enum):
    """What one reading says."""

    BEYOND = "beyond"
    BETWEEN = "between"
    CALM = "calm"
    GONE = "gone"
    """What was read is not there any more: an unmounted disk, a removed interface."""


class Reason(StrEnum):
    CROSSED = "crossed the threshold"
    HELD = "stayed beyond the threshold long enough"
    FELL_BACK = "fell back before it lasted long enough"
    GAP = "too long without readings to say that it lasted"
    CALMED = "stayed calm long enough"
    GONE = "what was watched is gone"
    NO_DATA = "no readings any more"
    RULE_GONE = "its rule is gone"
    RULE_CHANGED = "its rule is about something else now"
    NOT_MEANT = "its rule no longer means it"
    WORSE = "got worse"
    ORPHANED = "the alerter that said so said nothing more"
    FORGOTTEN = "the host was forgotten after a long silence"
    NO_ROOM = "its host is not watched: there is no room for more"


@dataclass(frozen=True, slots=True)
class Policy:
    """Milliseconds."""

    for_ms: int = 0
    keep_firing_ms: int = 0


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert that is pending or firing. Times are the readings' own, epoch milliseconds."""

    state: Literal["pending", "firing"]
    started_at: int
    changed_at: int
    seen_at: int
    value: float | None = None
    calm_since: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    previous: State
    state: State
    reason: Reason
    at: int
    value: float | None = None
    ended_at: int | None = None


Step = tuple[Episode | None, Change | None]


def step(
    episode: Episode | None, policy: Policy, verdict: Verdict, at: int, value: float | None, stale_ms: int
) -> Step:
    """What becomes of an alert by one reading; readings not newer than the last one change nothing.

    ``stale_ms`` is the longest pause between readings across which "it lasted" may still be said.
    """
    if episode is None:
        return _begin(policy, at, value) if verdict is Verdict.BEYOND else (None, None)
    if at <= episode.seen_at:
        return episode, None
    if episode.state == "pending":
        return _while_pending(episode, policy, verdict, at, value, stale_ms)
    return _while_firing(episode, policy, verdict, at, value)


def end(episode: Episode, reason: Reason, at: int) -> Change:
    """The last transition of an alert that ends for another reason than a reading."""
    at = max(at, episode.seen_at + 1)
    if episode.state == "pending":
        return Change("pending", "inactive", reason, at, episode.value, at)
    return Change("firing", "resolved", reason, at, episode.value, episode.calm_since or at)


def _begin(policy: Policy, at: int, value: float | None) -> Step:
    state: Literal["pending", "firing"] = "pending" if policy.for_ms else "firing"
    return Episode(state, at, at, at, value), Change("inactive", state, Reason.CROSSED, at, value)


def _while_pending(
    episode: Episode, policy: Policy, verdict: Verdict, at: int, value: float | None, stale_ms: int
) -> Step:
    if verdict in (Verdict.CALM, Verdict.GONE):
        return None, _leave(episode, Reason.GONE if verdict is Verdict.GONE else Reason.FELL_BACK, at, value)
    if at - episode.seen_at > stale_ms:
        return None, _leave(episode, Reason.GAP, at, value)
    if verdict is Verdict.BEYOND and at - episode.started_at >= policy.for_ms:
        fired = replace(episode, state="firing", changed_at=at, seen_at=at, value=value)
        return fired, Change("pending", "firing", Reason.HELD, at, value)
    return replace(episode, seen_at=at, value=value), None


def _leave(episode: Episode, reason: Reason, at: int, value: float | None) -> Change:
    return Change("pending", "inactive", reason, at, episode.value if value is None else value, at)


def _while_firing(episode: Episode, policy: Policy, verdict: Verdict, at: int, value: float | None) -> Step:
    if verdict in (Verdict.BEYOND, Verdict.BETWEEN):
        return replace(episode, seen_at=at, value=value, calm_since=None), None
    calm_since = at if episode.calm_since is None else episode.calm_since
    value = episode.value if value is None else value
    if at - calm_since < policy.keep_firing_ms:
        return replace(episode, seen_at=at, value=value, calm_since=calm_since), None
    reason = Reason.GONE if verdict is Verdict.GONE else Reason.CALMED
    return None, Change("firing", "resolved", reason, at, value, calm_since)
