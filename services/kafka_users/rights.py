"""What each service does on the bus, and so what its Kafka user must be allowed, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.bus.rights import Right
from shared.schemas.topics import ALERTS, ALL_TOPICS, ANOMALIES, CONTROL, EVENT_TOPICS, LOGS, METRICS, STATES, Topic


@dataclass(frozen=True)
class Use:
    """``group``: reads as the consumer group ``lapwing-<service>``. ``groups``: others it is a member of."""

    reads: tuple[Topic, ...] = ()
    writes: tuple[Topic, ...] = ()
    group: bool = False
    groups: tuple[str, ...] = ()


USES: Mapping[str, Use] = {
    "agent": Use(writes=(METRICS, LOGS)),
    "ingest": Use(reads=EVENT_TOPICS, writes=tuple(topic.dlq for topic in EVENT_TOPICS), group=True),
    "detector": Use(reads=(METRICS, CONTROL, STATES), writes=(ANOMALIES, STATES), group=True),
    # It keeps on the control topic which hosts are missed when silent, and how it is set up.
    "alerter": Use(
        reads=(METRICS, ANOMALIES, ALERTS, CONTROL), writes=(ALERTS, CONTROL), group=True, groups=("lapwing-notifier",)
    ),
    # It takes in what agents post, sends dead letters again, and says what people decided.
    "api": Use(reads=(METRICS, ANOMALIES, ALERTS, CONTROL), writes=(*EVENT_TOPICS, CONTROL)),
}

TOPICS = "topics"
"""The user of ``lapwing topics``, who makes what the others use."""


def topics_of(services: Iterable[str]) -> list[Topic]:
    """Those that these services read or write, in the order of ``ALL_TOPICS``."""
    used = {topic for name in services for topic in (*USES[name].reads, *USES[name].writes)}
    return [topic for topic in ALL_TOPICS if topic in used]


def rights_of(service: str) -> list[Right]:
    """Of one of ``USES``, or of ``TOPICS``."""
    if service == TOPICS:
        return [Right("topic", topic.name, do) for topic in ALL_TOPICS for do in ("CREATE", "DESCRIBE")]
    use = USES[service]
    rights = [Right("topic", topic.name, "READ") for topic in use.reads]
    rights += [Right("topic", topic.name, "WRITE") for topic in use.writes]
    groups = [*([f"lapwing-{service}"] if use.group else []), *use.groups]
    return rights + [Right("group", name, "READ") for name in groups]
