"""The rules in force: ours, changed and added to by the operator's files, or refused whole with lines. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from services.alerter import yaml_file
from services.alerter.fields import Part
from services.alerter.rules.rule import Rule, RulesError
from services.alerter.yaml_file import Document

OURS = "shipped"


class RuleFile(Part):
    rules: list[Rule] = []
    patch: dict[str, dict[str, Any]] = {}
    shipped: bool = True


@dataclass(frozen=True)
class Book:
    """``rules``: also those that are switched off; ``sources``: rule -> file."""

    rules: tuple[Rule, ...]
    sources: Mapping[str, str]

    @property
    def enabled(self) -> tuple[Rule, ...]:
        return tuple(r for r in self.rules if r.enabled)


@dataclass
class _Own:
    """What the operator's files say together."""

    rules: dict[str, Rule] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    patches: dict[str, tuple[Document[RuleFile], dict[str, Any]]] = field(default_factory=dict)
    shipped: bool = True


def bind(files: Mapping[str, str], shipped: str | None = None) -> Book:
    """Files given as name -> text, on top of the ``shipped`` text. Raises ``RulesError`` about all of them at once.

    A rule of a name that ours has replaces ours; ``patch:`` changes single keys of ours, where a mapping changes
    single keys of a mapping and ``null`` takes a key away; ``shipped: false`` does without ours.
    """
    problems: list[str] = []
    own = _read(files, problems)
    ours: dict[str, Any] = {r["name"]: r for r in yaml.safe_load(shipped)["rules"]} if shipped and own.shipped else {}
    rules: dict[str, Rule] = {}
    sources: dict[str, str] = {}
    for name, raw in ours.items():
        if name in own.rules:
            continue
        document, change = own.patches.get(name, (None, {}))
        sources[name] = OURS if document is None else f"{OURS}, patched in {document.name}"
        try:
            rules[name] = Rule.model_validate(_merged(raw, change))
        except ValidationError as error:
            assert document is not None, "a shipped rule is wrong"
            problems += yaml_file.reasons(error, RuleFile, document, ("patch", name), f"patch of `{name}`")
    for name, (document, change) in own.patches.items():
        if why := _no_patch(name, change, own, ours):
            problems.append(document.problem(("patch", name), f"patch of `{name}`: {why}"))
    yaml_file.refuse(problems, RulesError)
    return Book((*rules.values(), *own.rules.values()), sources | own.sources)


def parse(files: Mapping[str, str]) -> tuple[Rule, ...]:
    """The enabled rules of these files alone. Raises ``RulesError``."""
    return bind(files).enabled


def _read(files: Mapping[str, str], problems: list[str]) -> _Own:
    own = _Own()
    for name, text in files.items():
        document = yaml_file.read(name, text, RuleFile, {"rules": "rule"})
        if isinstance(document, list):
            problems += document
            continue
        own.shipped = own.shipped and document.content.shipped
        for index, rule in enumerate(document.content.rules):
            if rule.name in own.rules:
                problems.append(document.problem(("rules", index, "name"), f"a second rule named `{rule.name}`"))
            own.rules[rule.name] = rule
            own.sources[rule.name] = name
        for patched, change in document.content.patch.items():
            if patched in own.patches:
                problems.append(document.problem(("patch", patched), f"a second patch of `{patched}`"))
            own.patches[patched] = document, change
    return own


def _no_patch(name: str, change: Mapping[str, Any], own: _Own, ours: Mapping[str, Any]) -> str:
    """Why there is nothing to patch; empty where there is."""
    if not own.shipped:
        return "`shipped: false` leaves nothing to patch"
    if name in own.rules:
        return "a rule of your own has this name; change that one"
    if name not in ours:
        close = difflib.get_close_matches(name, ours, n=1, cutoff=0.0)
        return "no shipped rule has this name" + (f"; did you mean `{close[0]}`?" if close else "")
    if "name" in change:
        return "a patch cannot give another name"
    return ""


def _merged(raw: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(raw)
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return {key: value for key, value in merged.items() if value is not None}
