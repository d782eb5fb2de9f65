"""Rules: what is worth telling somebody, as YAML that is refused whole, with lines, when any of it is wrong.

A rule watches one of three things: a metric against a threshold, anomalies from a severity on, or silent hosts.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from services.alerter import yaml_file
from services.alerter.fields import Duration, Labels, Part, WrittenMatcher, duration
from services.alerter.yaml_file import FileError
from shared.schemas.anomaly import Severity
from shared.schemas.metrics import BY_NAME

Language = Literal["en", "zh"]
Condition = Literal["metric", "anomaly", "silent"]


class RulesError(FileError):
    """Rules that cannot be used."""


def _silence(value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else duration(value)


class Texts(Part):
    title: Annotated[str, Field(min_length=1, max_length=128)]
    advice: Annotated[str, Field(max_length=2048)] = ""


class AnomalyCondition(Part):
    """Anomalies at least this severe; of these findings only, when any are named."""

    severity: Severity = "warning"
    findings: list[str] = []


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

    metric: str | None = None
    above: float | None = None
    below: float | None = None
    leave: float | None = None
    anomaly: AnomalyCondition | None = None
    silent: Annotated[bool | int | None, BeforeValidator(_silence)] = None

    @model_validator(mode="after")
    def _one_condition(self) -> Rule:
        conditions = [n for n in ("metric", "anomaly", "silent") if getattr(self, n) not in (None, False)]
        if len(conditions) != 1:
            had = " and ".join(conditions) or "none"
            raise ValueError(f"must have exactly one of `metric`, `anomaly`, `silent` (it has {had})")
        if self.metric is None:
            if (self.above, self.below, self.leave) != (None, None, None):
                raise ValueError("`above`, `below` and `leave` belong to a `metric`")
            return self
        if self.metric not in BY_NAME:
            close = difflib.get_close_matches(self.metric, BY_NAME, n=1, cutoff=0.0)
            raise ValueError(f"unknown metric `{self.metric}`; did you mean `{close[0]}`?")
        if (self.above is None) == (self.below is None):
            raise ValueError("must have exactly one of `above` and `below`")
        if self.leave is not None and (
            (self.above is not None and self.leave > self.above) or (self.below is not None and self.leave < self.below)
        ):
            raise ValueError("`leave` must lie on the calm side: at most `above`, at least `below`")
        return self

    @property
    def condition(self) -> Condition:
        return "metric" if self.metric else "anomaly" if self.anomaly else "silent"

    @property
    def threshold(self) -> float | None:
        return self.above if self.above is not None else self.below

    def texts(self, language: Language) -> Texts:
        return self.zh if language == "zh" and self.zh else Texts(title=self.title, advice=self.advice)

    def silent_after_ms(self, default_ms: int) -> int:
        """``silent: true`` is the setting's, ``silent: 5m`` the rule's own."""
        return default_ms if isinstance(self.silent, bool | None) else self.silent


class _File(Part):
    rules: list[Rule]


def at_least(severity: Severity, least: Severity) -> bool:
    order = get_args(Severity)
    return order.index(severity) >= order.index(least)


def parse(files: Mapping[str, str]) -> tuple[Rule, ...]:
    """The enabled rules of files given as name -> text, in order. Raises ``RulesError`` about all of them at once."""
    rules: dict[str, Rule] = {}
    problems: list[str] = []
    for name, text in files.items():
        document = yaml_file.read(name, text, _File, {"rules": "rule"})
        if isinstance(document, list):
            problems += document
            continue
        for index, rule in enumerate(document.content.rules):
            if rule.name in rules:
                problems.append(document.problem(("rules", index, "name"), f"a second rule named `{rule.name}`"))
            rules[rule.name] = rule
    yaml_file.refuse(problems, RulesError)
    return tuple(r for r in rules.values() if r.enabled)
