"""Whether an alert that fires has got worse enough to be told again: when it is twice as bad as last told. Pure."""

from __future__ import annotations

from typing import get_args

from services.alerter.rules.rule import Rule
from shared.schemas.anomaly import Severity

_NEAR = 0.05
"""Of the threshold: nearer to it, twice as far is next to nothing."""

_SOONEST = 32
"""A forecast's nearness is told no finer than so many times."""


def badness(rule: Rule, value: float | None, left_ms: float | None = None) -> float | None:
    """A number that doubles when it is twice as bad; ``None`` for what does not get worse, or where it is not known.

    ``left_ms``: of forecasts, until the target.
    """
    if rule.metric:
        assert rule.threshold is not None
        return None if value is None else max(abs(value - rule.threshold), _NEAR * abs(rule.threshold))
    if rule.forecast:
        if left_ms is None or left_ms > rule.forecast.within:
            return None
        return rule.forecast.within / max(left_ms, rule.forecast.within / _SOONEST)
    if rule.late:
        return None if value is None else max(value - rule.late / 1000, rule.late / 1000)
    return None


def severity_badness(severity: str) -> float | None:
    """Each severity is twice as bad as the one before."""
    order = get_args(Severity)
    return float(2 ** order.index(severity)) if severity in order else None
