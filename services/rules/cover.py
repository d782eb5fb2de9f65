"""Which rules look at which hosts: what would page me. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.alerter.evaluation.host import Host
from services.alerter.evaluation.telling import labels
from services.alerter.rules.rule import Rule
from shared.alerting.matching import matches
from shared.schemas.metrics import BY_NAME


@dataclass(frozen=True)
class Seen:
    """``instances``: metric -> the label values it has; ``""`` alone where it has none."""

    host_id: str
    name: str
    labels: Mapping[str, str]
    instances: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Covered:
    """``instances`` are those that the rule means; empty where it is not about any."""

    host: Seen
    instances: Sequence[str] = ()


def metrics_of(rules: Iterable[Rule]) -> list[str]:
    """What must be known of hosts to say what these rules cover."""
    return sorted({r.metric_name for r in rules if r.metric_name})


def covered(rule: Rule, hosts: Iterable[Seen]) -> list[Covered]:
    """By the names of the hosts."""
    found = []
    for seen in sorted(hosts, key=lambda h: (h.name, h.host_id)):
        host = Host(seen.host_id, seen.name, seen.labels)
        of_rule = seen.instances.get(rule.metric_name, ()) if rule.metric_name else ("",)
        meant = [i for i in of_rule if matches(rule.match, labels(rule, host, i))]
        if meant:
            labelled = bool(rule.metric_name and BY_NAME[rule.metric_name].label)
            found.append(Covered(seen, sorted(meant) if labelled else ()))
    return found
