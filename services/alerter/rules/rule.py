"""Rules: what is worth telling somebody, as YAML that is refused whole, with lines, when any of it is wrong.

A rule watches one of three things: a metric against a threshold, anomalies from a severity on, or silent hosts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.schemas.anomaly import Severity
from shared.schemas.control import Matcher
from shared.schemas.metrics import BY_NAME

Language = Literal["en", "zh"]
Condition = Literal["metric", "anomaly", "silent"]

MAX_FILE_BYTES = 1 << 18
_MOST_PROBLEMS = 10
_MOST_NODES = 20_000
_DEEPEST = 8
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class RulesError(ValueError):
    """Rules that cannot be used; every line of the message names file, line and reason."""


def _duration(value: Any) -> Any:
    """``90``, ``90s``, ``1.5m`` -> milliseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a duration such as `30s`, `5m` or `1h`")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", str(value))
    if not found:
        raise ValueError(f"`{value}` is not a duration; write `30s`, `5m` or `1h`")
    return round(float(found[1]) * _UNITS[found[2] or "s"])


def _silence(value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else _duration(value)


def _matcher(value: Any) -> Any:
    """Alertmanager's way to write a matcher: ``env="prod"``, ``mountpoint!~"/snap/.*"``."""
    found = re.fullmatch(r'\s*([a-zA-Z_][\w.]*)\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*', str(value))
    if not isinstance(value, str) or not found:
        raise ValueError('must be written `name="value"`, with one of = != =~ !~ in the middle')
    name, operator, text = found.groups()
    if "~" in operator:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"`{text}` is not a regular expression: {error}") from None
    return Matcher(name=name, value=text, is_regex="~" in operator, is_equal=operator[0] == "=")


Duration = Annotated[int, BeforeValidator(_duration), Field(ge=0, le=30 * 86_400_000)]
Labels = dict[
    Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")],
    Annotated[str, Field(max_length=1024)],
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Texts(_Part):
    title: Annotated[str, Field(min_length=1, max_length=128)]
    advice: Annotated[str, Field(max_length=2048)] = ""


class AnomalyCondition(_Part):
    """Anomalies at least this severe; of these findings only, when any are named."""

    severity: Severity = "warning"
    findings: list[str] = []


class Rule(_Part):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    title: Annotated[str, Field(min_length=1, max_length=128)]
    advice: Annotated[str, Field(max_length=2048)] = ""
    zh: Texts | None = None
    severity: Severity = "warning"
    labels: Labels = {}
    match: list[Annotated[Matcher, BeforeValidator(_matcher)]] = []
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


class _File(_Part):
    rules: list[Rule]


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """All of them; a label that is not there is empty, as Alertmanager has it."""
    for m in matchers:
        value = labels.get(m.name, "")
        hit = re.fullmatch(m.value, value) is not None if m.is_regex else value == m.value
        if hit != m.is_equal:
            return False
    return True


def at_least(severity: Severity, least: Severity) -> bool:
    order = get_args(Severity)
    return order.index(severity) >= order.index(least)


def parse(files: Mapping[str, str]) -> tuple[Rule, ...]:
    """The enabled rules of files given as name -> text, in order. Raises ``RulesError`` about all of them at once."""
    rules: dict[str, Rule] = {}
    problems: list[str] = []
    for name, text in files.items():
        problems += _parse_one(name, text, rules)
    if problems:
        more = [f"and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise RulesError("\n".join(problems[:_MOST_PROBLEMS] + more))
    return tuple(r for r in rules.values() if r.enabled)


def _parse_one(name: str, text: str, rules: dict[str, Rule]) -> list[str]:
    """Adds the file's rules to ``rules``; returns what is wrong."""
    if len(text.encode()) > MAX_FILE_BYTES:
        return [f"{name}:1: larger than {MAX_FILE_BYTES} bytes"]
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = dict(_lines(root)) if root else {}
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return [f"{name}:{mark.line + 1 if mark else 1}: not YAML: {error.problem or error.context}"]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [f"{name}:1: not YAML: {' '.join(str(error).split()) or type(error).__name__}"]
    if not isinstance(tree, dict):
        return [f"{name}:1: must hold a list of rules under `rules:`"]
    try:
        parsed = _File.model_validate(tree)
    except ValidationError as error:
        found = sorted((_line(e["loc"], lines), f"{_where(e['loc'], tree)}{_why(e)}") for e in error.errors())
        return [f"{name}:{line}: {text}" for line, text in found]
    problems = []
    for index, rule in enumerate(parsed.rules):
        if rule.name in rules:
            problems.append(f"{name}:{_line(('rules', index, 'name'), lines)}: a second rule named `{rule.name}`")
        rules[rule.name] = rule
    return problems


def _lines(root: yaml.Node) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Path -> line of every node. Refuses repeated keys, which YAML loaders swallow, and aliases that explode."""
    stack: list[tuple[tuple[str | int, ...], yaml.Node]] = [((), root)]
    for _ in range(_MOST_NODES):
        if not stack:
            return
        path, node = stack.pop()
        if len(path) > _DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=node.start_mark)
        yield path, node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"`{key.value}` is there twice", problem_mark=key.start_mark)
                if isinstance(key, yaml.ScalarNode):
                    seen.add(key.value)
                    stack.append(((*path, key.value), value))
                    yield (*path, key.value), key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            stack += [((*path, index), value) for index, value in enumerate(node.value)]
    raise ValueError("it holds too many values")


def _line(loc: tuple[int | str, ...], lines: dict[tuple[str | int, ...], int]) -> int:
    for length in range(len(loc), 0, -1):
        if loc[:length] in lines:
            return lines[loc[:length]]
    return 1


def _where(loc: tuple[int | str, ...], tree: Any) -> str:
    """``rule `cpu_busy`, above: ``, as far as it can be said."""
    words = []
    if len(loc) > 1 and isinstance(loc[1], int):
        rule = tree["rules"][loc[1]]
        name = rule.get("name") if isinstance(rule, dict) else None
        words.append(f"rule `{name}`" if isinstance(name, str) else f"rule {loc[1] + 1}")
    rest = ".".join(str(part) for part in loc[2 if words else 0 :] if part not in ("bool", "int", "constrained-int"))
    return ", ".join(filter(None, [*words, rest])) + ": " if words or rest else ""


def _why(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        known = [f.alias or n for n, f in Rule.model_fields.items()]
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
        return f"unknown key{f'; did you mean `{close[0]}`?' if close else ''}"
    if error["type"] == "string_pattern_mismatch":
        return f"`{error['input']}` must be letters, digits and underscores only (rule names: lower case)"
    return str(error["msg"]).removeprefix("Value error, ")
