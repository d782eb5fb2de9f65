"""The newest state of every host, in memory: what the topics said last. One writer (``feed``), many readers.

Only newer readings replace older ones, so that what a spool sends late never turns the clock back; readings from the
future, which nothing true could replace, are left. Bounded: beyond ``max_hosts`` the longest silent host is forgotten
here (the store still knows it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from services.api.sequence import SequenceWindow
from shared.schemas.anomaly import HostScore
from shared.schemas.sample import HostSample

SECTIONS = (
    "agent",
    "system",
    "cpu",
    "load",
    "memory",
    "swap",
    "disks",
    "disk_io",
    "network",
    "pressure",
    "processes",
    "gpus",
    "temperatures",
)
RECENT_CPU = 300
CONFLICT_FOR_MS = 300_000


class Reading(NamedTuple):
    """A section as it was at ``ts``; ``value`` is a twin of its model in ``shared.schemas.sample``."""

    ts: int
    value: Any


NOTHING: Mapping[str, float] = {}


class HostState:
    """``heard_ms`` is when we last received something new; ``ts`` is the newest event's own time."""

    __slots__ = (
        "_incarnations",
        "answers",
        "conflict_until_ms",
        "filled",
        "heard_ms",
        "host_id",
        "labels",
        "metric_scores",
        "name",
        "recent_cpu",
        "score",
        "score_ts",
        "sections",
        "sequence",
        "ts",
    )

    def __init__(self, host_id: str, name: str, labels: Mapping[str, str], ts: int, heard_ms: int) -> None:
        self.host_id = host_id
        self.name = name
        self.labels = dict(labels)
        self.ts = ts
        self.heard_ms = heard_ms
        self.sections: dict[str, Reading] = {}
        self.recent_cpu: deque[tuple[int, float]] = deque(maxlen=RECENT_CPU)
        self.sequence = SequenceWindow()
        self.score: float | None = None
        self.score_ts = -1
        self.metric_scores = NOTHING
        self.conflict_until_ms = 0
        self.answers: dict[Any, Any] = {}  # ready-to-send bytes; forgotten with every event
        self.filled = False  # whether the store was asked for what the tail has not brought
        self._incarnations: deque[int] = deque(maxlen=4)

    def section(self, name: str) -> Any | None:
        reading = self.sections.get(name)
        return reading.value if reading else None

    def offer(self, name: str, ts: int, value: Any) -> bool:
        """Keeps ``value`` where it is newer than what is known; says whether it was."""
        known = self.sections.get(name)
        if known is not None and known.ts >= ts:
            return False
        self.sections[name] = Reading(ts, value)
        self.answers.clear()
        return True

    def scored(self, ts: int, score: float, of_metrics: Mapping[str, float] = NOTHING) -> None:
        if ts > self.score_ts:
            self.score_ts, self.score, self.metric_scores = ts, score, of_metrics

    def interval_ms(self) -> int:
        agent = self.section("agent")
        return int(agent.interval_ms) if agent else 1000

    def take(self, sample: HostSample, now_ms: int, latest_ms: int) -> bool:
        """Says whether the event is this host's newest. What is later than ``latest_ms`` is from a wrong clock."""
        if sample.ts > latest_ms:
            return False
        if self.ts > latest_ms:
            self._forget_after(latest_ms)  # the wrong clock was ours, and was put right
        self.sequence.saw(sample.seq)
        for name in SECTIONS:
            value = getattr(sample, name)
            if value is not None:
                fresh = self.offer(name, sample.ts, value)
                if fresh and name == "cpu":
                    self.recent_cpu.append((sample.ts, value.percent))
        if sample.ts <= self.ts:
            return False
        self.ts = sample.ts
        self.heard_ms = now_ms
        self.name = sample.host
        self.labels = dict(sample.labels)
        if sample.agent is not None:
            self._incarnation(sample.agent.started_at, now_ms)
        return True

    def _forget_after(self, latest_ms: int) -> None:
        self.sections = {name: reading for name, reading in self.sections.items() if reading.ts <= latest_ms}
        self.recent_cpu = deque((r for r in self.recent_cpu if r[0] <= latest_ms), maxlen=RECENT_CPU)
        self.ts = max((reading.ts for reading in self.sections.values()), default=-1)
        if self.score_ts > latest_ms:
            self.score_ts, self.score, self.metric_scores = -1, None, NOTHING
        self.answers.clear()

    def _incarnation(self, started_at: int, now_ms: int) -> None:
        """An agent that restarts changes ``started_at`` once; a value that comes back means two agents, one id."""
        seen = self._incarnations
        if seen and seen[-1] == started_at:
            return
        if started_at in seen:
            self.conflict_until_ms = now_ms + CONFLICT_FOR_MS
        seen.append(started_at)


class Live:
    def __init__(self, *, max_hosts: int = 20_000, max_future_ms: int = 600_000) -> None:
        self._hosts: dict[str, HostState] = {}
        self._max_hosts = max_hosts
        self._max_future_ms = max_future_ms

    def __len__(self) -> int:
        return len(self._hosts)

    def __iter__(self) -> Iterator[HostState]:
        return iter(self._hosts.values())

    def get(self, host_id: str) -> HostState | None:
        return self._hosts.get(host_id)

    def named(self, name: str) -> list[HostState]:
        return [h for h in self._hosts.values() if h.name == name]

    def known(self, host_id: str, name: str, labels: Mapping[str, str], last_seen_ms: int) -> HostState:
        """What the store says of a host; never overrules what a topic said."""
        state = self._hosts.get(host_id)
        if state is None:
            state = self._add(HostState(host_id, name, labels, last_seen_ms, last_seen_ms))
        return state

    def sample(self, sample: HostSample, now_ms: int) -> tuple[HostState, bool]:
        """The host of ``sample``, and whether the sample is its newest."""
        state = self._hosts.get(sample.host_id)
        if state is None:
            state = self._add(HostState(sample.host_id, sample.host, sample.labels, -1, now_ms))
        return state, state.take(sample, now_ms, now_ms + self._max_future_ms)

    def score(self, score: HostScore) -> None:
        """Scores of hosts not heard of are left: their sample will come."""
        state = self._hosts.get(score.host_id)
        if state is not None:
            state.scored(score.ts, score.score, score.metrics)

    def last_heard(self) -> HostState | None:
        return max(self._hosts.values(), key=lambda h: h.heard_ms, default=None)

    def _add(self, state: HostState) -> HostState:
        if len(self._hosts) >= self._max_hosts:
            silent = min(self._hosts.values(), key=lambda h: h.heard_ms)
            del self._hosts[silent.host_id]
        self._hosts[state.host_id] = state
        return state
