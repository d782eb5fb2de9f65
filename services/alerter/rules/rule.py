"""Rules: what is worth telling somebody. A rule has one condition and says how long it must last and whom it means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from services.alerter.fields import Duration, Labels, Part, WrittenMatcher, duration
from services.alerter.rules.findings import FINDINGS
from services.alerter.yaml_file import FileError
from shared.schemas.anomaly import Severity
from shared.schemas.metrics import BY_NAME

Language = Literal["en", "zh"]
Condition = Literal["metric", "forecast", "anomaly", "absent", "silent", "late"]

_MINUTE_MS = 60_000


class RulesError(FileError):
    """Rules that cannot be used."""


def _near(word: str, words: Iterable[str]) -> str:
    return difflib.get_close_matches(word, list(words), n=1, cutoff=0.0)[0]


def _metric(name: str) -> str:
    if name not in BY_NAME:
        raise ValueError(f"unknown metric `{name}`; did you mean `{_near(name, BY_NAME)}`?")
    if BY_NAME[name].section == "score":
        raise ValueError(f"`{name}` is no reading of a host; write `anomaly: {{score: …}}`")
    return name


def _finding(name: str) -> str:
    if name not in FINDINGS:
        raise ValueError(f"the detector finds no `{name}`; did you mean `{_near(name, FINDINGS)}`?")
    return name


def _silence(value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else duration(value)


MetricName = Annotated[str, AfterValidator(_metric)]
Finding = Annotated[str, AfterValidator(_finding)]


class Texts(Part):
    title: Annotated[str, Field(min_length=1, max_length=128)]
    advice: Annotated[str, Field(max_length=2048)] = ""


class AnomalyCondition(Part):
    """Anomalies at least this severe and with this score; of these findings only, when any are named, and not of
    those that ``except_findings`` names.
    """

    severity: Severity = "warning"
    score: Annotated[float, Field(ge=0)] = 0.0
    findings: list[Finding] = []
    except_findings: list[Finding] = []

    @model_validator(mode="after")
    def _no_contradiction(self) -> AnomalyCondition:
        if both := set(self.findings) & set(self.except_findings):
            raise ValueError(f"`{min(both)}` is in `findings` and in `except_findings`")
        return self

    def means(self, finding: str) -> bool:
        return finding in self.findings if self.findings else finding not in self.except_findings


class ForecastCondition(Part):
    """The trend of the last ``over`` takes the metric up to ``reaches``, or down to ``falls_to``, ``within`` that."""

    metric: MetricName
    reaches: float | None = None
    falls_to: float | None = None
    within: Annotated[Duration, Field(ge=_MINUTE_MS)]
    over: Annotated[Duration, Field(ge=_MINUTE_MS, le=7 * 1440 * _MINUTE_MS)] = 60 * _MINUTE_MS

    @model_validator(mode="after")
    def _one_way(self) -> ForecastCondition:
        if (self.reaches is None) == (self.falls_to is None):
            raise ValueError("must have exactly one of `reaches` and `falls_to`")
        return self

    @property
    def target(self) -> float:
        target = self.falls_to if self.reaches is None else self.reaches
        assert target is not None
        return target


class AbsentCondition(Part):
    """A host that had this metric and speaks on, but for ``after`` no longer of it."""

    metric: MetricName
    after: Annotated[Duration, Field(ge=1000)] = 5 * _MINUTE_MS


class Rule(Part):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    title: Annotated[str, Field(min_length=1, max_length=128)]
    advice: Annotated[str, Field(max_length=2048)] = ""
    zh: Texts | None = None
    severity: Severity = "warning"
    labels: Labels = {}
    match: list[WrittenMatcher] = []
    for_: Annotated[Duration, Field(alias="for")] = 0
    keep_firing_for: Duration = 0
    enabled: bool = True

    metric: MetricName | None = None
    above: float | None = None
    below: float | None = None
    leave: float | None = None
    forecast: ForecastCondition | None = None
    anomaly: AnomalyCondition | None = None
    absent: AbsentCondition | None = None
    silent: Annotated[bool | int | None, BeforeValidator(_silence)] = None
    late: Annotated[Duration, Field(ge=1000)] | None = None

    @model_validator(mode="after")
    def _one_condition(self) -> Rule:
        conditions = [n for n in get_args(Condition) if getattr(self, n) not in (None, False)]
        if len(conditions) != 1:
            had = " and ".join(conditions) or "none"
            raise ValueError(f"must have exactly one condition of {_named(get_args(Condition))} (it has {had})")
        if self.metric is None:
            if (self.above, self.below, self.leave) != (None, None, None):
                raise ValueError("`above`, `below` and `leave` belong to a `metric`")
            return self
        if (self.above is None) == (self.below is None):
            raise ValueError("must have exactly one of `above` and `below`")
        if self.leave is not None and (
            (self.above is not None and self.leave > self.above) or (self.below is not None and self.leave < self.below)
        ):
            raise ValueError("`leave` must lie on the calm side: at most `above`, at least `below`")
        return self

    @property
    def condition(self) -> Condition:
        found: Condition = next(n for n in get_args(Condition) if getattr(self, n) not in (None, False))
        return found

    @property
    def metric_name(self) -> str:
        """Of the metric that the condition is about; empty where it is about none."""
        of = self.forecast or self.absent
        return of.metric if of else self.metric or ""

    @property
    def threshold(self) -> float | None:
        return self.above if self.above is not None else self.below

    @property
    def subject(self) -> tuple[object, ...]:
        """What the rule is about: while it stays the same, a changed rule goes on with the alerts it has."""
        falls = self.below is not None or (self.forecast is not None and self.forecast.falls_to is not None)
        return self.condition, self.metric_name, falls

    def texts(self, language: Language) -> Texts:
        return self.zh if language == "zh" and self.zh else Texts(title=self.title, advice=self.advice)

    def silent_after_ms(self, default_ms: int) -> int:
        """``silent: true`` is the setting's, ``silent: 5m`` the rule's own."""
        return default_ms if isinstance(self.silent, bool | None) else self.silent


def _named(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def at_least(severity: Severity, least: Severity) -> bool:
    order = get_args(Severity)
    return order.index(severity) >= order.index(least)
