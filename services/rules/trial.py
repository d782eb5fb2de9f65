"""Unit tests for rules: what hosts would say, and what would be firing then. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from services.alerter.evaluation.evaluator import Evaluator
from services.alerter.evaluation.telling import INSTANCE
from services.alerter.evaluation.wording import duration
from services.alerter.fields import Duration, Labels, Part
from services.alerter.rules.rule import Finding, MetricName, Rule
from services.rules.values import expand
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Anomaly, Severity
from shared.schemas.metrics import BY_NAME, CATALOGUE
from shared.schemas.sample import HostSample

T0_MS = 1_800_000_000_000
"""When every test begins."""

MOST_STEPS = 200_000


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _expandable(text: str) -> str:
    expand(text)
    return text


Interval = Annotated[Duration, Field(ge=1000)]


class Series(Part):
    host: Annotated[str, Field(min_length=1, max_length=128)]
    metric: MetricName
    values: Annotated[str, BeforeValidator(_text), AfterValidator(_expandable)]
    instance: Annotated[str, BeforeValidator(_text)] = ""
    labels: Labels = {}

    @model_validator(mode="after")
    def _one_or_many(self) -> Series:
        label = BY_NAME[self.metric].label
        if (label is None) == bool(self.instance):
            raise ValueError(
                f"`{self.metric}` needs an `instance`, its {label}" if label else f"`{self.metric}` has no instances"
            )
        return self


class Odd(Part):
    """An anomaly that the detector would report, from ``at`` to ``until``."""

    host: Annotated[str, Field(min_length=1, max_length=128)]
    at: Duration
    until: Duration | None = None
    finding: Finding = "unusual"
    severity: Severity = "warning"
    score: Annotated[float, Field(ge=0)] = 2.0


class Wanted(Part):
    """An alert, by as much as is said of it."""

    rule: str | None = None
    host: str | None = None
    instance: Annotated[str | None, BeforeValidator(_text)] = None
    severity: Severity | None = None
    labels: Labels = {}
    summary: str | None = None

    def is_like(self, alert: Alert) -> bool:
        has = {
            "rule": alert.rule,
            "host": alert.host,
            "instance": alert.labels.get(INSTANCE, ""),
            "severity": alert.severity,
            "summary": alert.summary,
        }
        said = {k: v for k, v in self.model_dump(exclude={"labels"}).items() if v is not None}
        return all(has[k] == v for k, v in said.items()) and self.labels.items() <= alert.labels.items()

    def __str__(self) -> str:
        said = {k: v for k, v in self.model_dump(exclude={"labels"}).items() if v is not None} | self.labels
        return " ".join(f"{k}={v}" for k, v in said.items()) or "any alert"


class Expectation(Part):
    """Exactly these fire at this time; of this rule, when one is named. ``pending`` is looked at when it is said."""

    at: Duration
    rule: str | None = None
    firing: list[Wanted]
    pending: list[Wanted] | None = None


class Trial(Part):
    name: Annotated[str, Field(min_length=1)]
    interval: Interval | None = None
    series: list[Series] = []
    anomalies: list[Odd] = []
    expect: Annotated[list[Expectation], Field(min_length=1)]

    @property
    def rules_named(self) -> set[str]:
        wanted = [w.rule for e in self.expect for w in (*e.firing, *(e.pending or ()))]
        return {name for name in (*wanted, *(e.rule for e in self.expect)) if name}


class TrialFile(Part):
    """``rules``: a file or directory, beside this one, as ``LAPWING_ALERTER__RULES`` would name it."""

    rules: str | None = None
    interval: Interval = 15_000
    host_silent_after: Interval = 60_000
    tests: Annotated[list[Trial], Field(min_length=1)]

    @model_validator(mode="after")
    def _not_for_ever(self) -> TrialFile:
        for trial in self.tests:
            if max(e.at for e in trial.expect) > MOST_STEPS * (trial.interval or self.interval):
                raise ValueError(f"test `{trial.name}` takes more than {MOST_STEPS} steps; make `interval` longer")
        return self


@dataclass(frozen=True)
class Difference:
    """``missing`` was expected and is not so; ``extra`` is so and was not expected."""

    at_ms: int
    state: str
    rule: str | None
    missing: Sequence[str]
    extra: Sequence[str]

    def lines(self) -> list[str]:
        of = f" of {self.rule}" if self.rule else ""
        head = f"at {duration(self.at_ms)}, {self.state}{of}:"
        return [head, *(f"  - {m}" for m in self.missing), *(f"  + {e}" for e in self.extra)]


def run(trial: Trial, rules: Sequence[Rule], interval_ms: int, silent_after_ms: int) -> list[Difference]:
    """What is otherwise than expected, in order of time. ``interval_ms``: between samples, where the test says none."""
    evaluator = Evaluator(rules, silent_after_ms=silent_after_ms)
    step_ms = trial.interval or interval_ms
    expectations = sorted(trial.expect, key=lambda e: e.at)
    instants = {n * step_ms for n in range(expectations[-1].at // step_ms + 1)}
    instants |= {e.at for e in expectations} | {t for a in trial.anomalies for t in (a.at, a.until) if t is not None}
    hosts = _hosts(trial.series)
    told: dict[str, Alert] = {}
    found: list[Difference] = []
    for at in sorted(t for t in instants if t <= expectations[-1].at):
        now_ms, now = T0_MS + at, at / 1000
        said: list[Alert] = []
        if at % step_ms == 0:
            for host in hosts:
                if sample := host.sample(at // step_ms, now_ms):
                    said += evaluator.sample(sample, now_ms, now)
        for number, odd in enumerate(trial.anomalies):
            if anomaly := _anomaly(odd, number, at):
                said += evaluator.anomaly(anomaly, now_ms, now)
        evaluator.silence.listened(now)
        said += evaluator.tick(now_ms, now)
        told |= {a.alert_id: a for a in said}
        for expected in expectations:
            if expected.at == at:
                found += _compared(expected, told.values())
    return found


def _compared(expected: Expectation, told: Iterable[Alert]) -> list[Difference]:
    found = []
    for state, wanted in (("firing", expected.firing), ("pending", expected.pending)):
        if wanted is None:
            continue
        extra = [a for a in told if a.state == state and expected.rule in (None, a.rule)]
        missing = []
        # Who says most chooses first.
        for want in sorted(wanted, key=lambda w: -len(str(w))):
            like = next((a for a in extra if want.is_like(a)), None)
            if like is None:
                missing.append(str(want))
            else:
                extra.remove(like)
        if missing or extra:
            shown = [f"rule={a.rule} severity={a.severity}: {a.summary}" for a in extra]
            found.append(Difference(expected.at, state, expected.rule, missing, shown))
    return found


def _anomaly(odd: Odd, number: int, at: int) -> Anomaly | None:
    """What the detector says of it at this moment."""
    if at not in (odd.at, odd.until):
        return None
    return Anomaly(
        event_id=f"{number}:{at}",
        ts=T0_MS + at,
        anomaly_id=f"a{number}",
        host_id=odd.host,
        host=odd.host,
        state="open" if at == odd.at else "close",
        finding=odd.finding,
        severity=odd.severity,
        score=odd.score,
        peak_score=odd.score,
        started_at=T0_MS + odd.at,
        summary=f"{odd.finding} on {odd.host}",
    )


# -- samples of only what was said -----------------------------------------------------------------------------------


class _Section:
    """Fields that were said; all others are not there."""

    def __init__(self, fields: Mapping[str, Any], nested: frozenset[str] = frozenset()) -> None:
        self._fields = fields
        self._nested = nested

    def __getattr__(self, name: str) -> Any:
        if name in self._nested:
            inner = {k.split(".", 1)[1]: v for k, v in self._fields.items() if k.startswith(f"{name}.")}
            return _Section(inner)
        return self._fields.get(name)


_NESTED = frozenset(m.field.split(".")[0] for m in CATALOGUE if "." in m.field)


class _Sample:
    def __init__(self, host: str, ts: int, labels: Mapping[str, str], sections: Mapping[str, Any]) -> None:
        self.host_id = self.host = host
        self.ts = ts
        self.labels = labels
        self._sections = sections

    def __getattr__(self, name: str) -> Any:
        return self._sections.get(name)


@dataclass(frozen=True)
class _Host:
    name: str
    labels: Mapping[str, str]
    series: Sequence[tuple[Series, Sequence[float | None]]]

    def sample(self, step: int, ts: int) -> HostSample | None:
        """``None`` where nothing was said of this step."""
        scalars: dict[str, dict[str, Any]] = {}
        entries: dict[str, dict[str, dict[str, Any]]] = {}
        for series, values in self.series:
            value = values[step] if step < len(values) else None
            if value is None:
                continue
            metric = BY_NAME[series.metric]
            if metric.label is None:
                scalars.setdefault(metric.section, {})[metric.field] = value
            else:
                entry = entries.setdefault(metric.section, {}).setdefault(series.instance, {})
                entry |= {metric.field: value, metric.label: series.instance}
        if not scalars and not entries:
            return None
        sections: dict[str, Any] = {name: _Section(fields, _NESTED) for name, fields in scalars.items()}
        for name, found in entries.items():
            listed = [_Section(fields) for fields in found.values()]
            sections[name] = _Section({"devices": listed}) if name == "gpus" else listed
        return cast(HostSample, _Sample(self.name, ts, self.labels, sections))


def _hosts(series: Iterable[Series]) -> list[_Host]:
    by_host: dict[str, list[Series]] = {}
    for one in series:
        by_host.setdefault(one.host, []).append(one)
    return [
        _Host(name, {k: v for s in theirs for k, v in s.labels.items()}, [(s, expand(s.values)) for s in theirs])
        for name, theirs in by_host.items()
    ]
