"""What is wrong on every machine, whatever it is used to: a resource that has nothing left, for long enough.

It needs no learning, so it speaks during warm-up and on a host whose models have learned the fault. What stays at the
limit for ``NORMAL_AFTER_MS`` is how that host is used, and is left to the models. Pure; event time only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.detector.bank import Verdict
from shared.schemas.anomaly import Contribution

NORMAL_AFTER_MS = 1_800_000
FORGIVEN_GAP_MS = 60_000


@dataclass(frozen=True)
class Limit:
    """``metric`` at ``least`` or above for ``sustained_ms``; ``most`` is the largest value there is."""

    metric: str
    least: float
    most: float
    sustained_ms: int


LIMITS = (Limit("cpu.percent", 95, 100, 15_000),)


@dataclass
class _Held:
    since_ms: int
    last_ms: int


class Limits:
    """Remembers only the hosts that are at a limit now."""

    def __init__(self, limits: tuple[Limit, ...] = LIMITS) -> None:
        self._limits = limits
        self._held: dict[tuple[str, str], _Held] = {}

    def applied(self, host_id: str, ts_ms: int, values: Mapping[str, float], verdict: Verdict) -> Verdict:
        """``verdict``, raised above 1 where a limit has been held for long enough."""
        for limit in self._limits:
            value = values.get(limit.metric)
            if value is not None and self._holds(limit, host_id, ts_ms, value):
                verdict = _raised(verdict, limit, value)
        return verdict

    def _holds(self, limit: Limit, host_id: str, ts_ms: int, value: float) -> bool:
        key = (host_id, limit.metric)
        held = self._held.get(key)
        if value < limit.least:
            self._held.pop(key, None)
            return False
        if held is None or ts_ms - held.last_ms > FORGIVEN_GAP_MS:
            self._held = {k: h for k, h in self._held.items() if ts_ms - h.last_ms <= NORMAL_AFTER_MS}
            held = self._held[key] = _Held(ts_ms, ts_ms)
        held.last_ms = ts_ms
        return limit.sustained_ms <= ts_ms - held.since_ms < NORMAL_AFTER_MS


def _raised(verdict: Verdict, limit: Limit, value: float) -> Verdict:
    score = 1.1 + (value - limit.least) / (limit.most - limit.least)
    contribution = Contribution(
        metric=limit.metric, share=1.0, value=value, expected_low=0.0, expected_high=limit.least
    )
    return replace(
        verdict,
        score=max(verdict.score, score),
        news=max(verdict.news, score),
        contributions=verdict.contributions or (contribution,),
        warming_up=False,
    )
