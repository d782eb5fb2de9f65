"""Rules in words, for people: what is in force."""

from __future__ import annotations

from collections.abc import Sequence

from services.alerter.evaluation.wording import duration, quantity
from services.alerter.rules.book import Book
from services.alerter.rules.rule import Rule
from shared.alerting.matching import written
from shared.schemas.control import Matcher, RuleEntry


def entries(book: Book, silent_after_ms: int = 60_000) -> list[RuleEntry]:
    """``silent_after_ms`` is the setting's, for rules without a time of their own."""
    return [
        RuleEntry(
            name=rule.name,
            title=rule.title,
            severity=rule.severity,
            watches=rule.condition,
            condition=sentence(rule, silent_after_ms),
            matchers=list(rule.match),
            labels=rule.labels,
            metric=rule.metric_name,
            enabled=rule.enabled,
            source=book.sources.get(rule.name, ""),
        )
        for rule in book.rules
    ]


def sentence(rule: Rule, silent_after_ms: int = 60_000) -> str:
    """``cpu.percent above 90.0 % for 30 s, until below 75.0 % for 15 s``."""
    comma = "," if rule.forecast else ""
    held = f"{comma} for {duration(rule.for_)}" if rule.for_ else ""
    calm = f" for {duration(rule.keep_firing_for)}" if rule.keep_firing_for else ""
    return f"{_begins(rule, silent_after_ms)}{held}{_ends(rule, calm)}{_where(rule.match)}"[:1024]


def _begins(rule: Rule, silent_after_ms: int) -> str:
    if rule.metric:
        side = "above" if rule.above is not None else "below"
        return f"{rule.metric} {side} {quantity(rule.metric, rule.threshold)}"
    if f := rule.forecast:
        how = "reaches" if f.falls_to is None else "falls to"
        within, over = duration(f.within), duration(f.over)
        return f"{f.metric} {how} {quantity(f.metric, f.target)} within {within} by the trend of the last {over}"
    if a := rule.anomaly:
        parts = [f"an anomaly of severity {a.severity} or worse"]
        parts += [f"of {', '.join(a.findings)}"] if a.findings else []
        parts += [f"but not of {', '.join(a.except_findings)}"] if a.except_findings else []
        parts += [f"with a score of at least {a.score:g}"] if a.score else []
        return " ".join(parts)
    if rule.absent:
        return f"no {rule.absent.metric} for {duration(rule.absent.after)} from a host that had it and speaks"
    if rule.late is not None:
        return f"what is judged is more than {duration(rule.late)} old"
    return f"nothing heard for {duration(rule.silent_after_ms(silent_after_ms))}"


def _ends(rule: Rule, calm: str) -> str:
    if rule.metric and rule.leave is not None:
        side = "below" if rule.above is not None else "above"
        return f", until {side} {quantity(rule.metric, rule.leave)}{calm}"
    return f", until over{calm}" if calm else ""


def _where(matchers: Sequence[Matcher]) -> str:
    return " where " + " and ".join(map(written, matchers)) if matchers else ""
