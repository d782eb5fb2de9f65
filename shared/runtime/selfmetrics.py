"""Every number Lapwing tells about itself, listed once, each with a sentence; read as Prometheus text at ``/metrics``.

No client library, so that the agent stays light. Counting is a dictionary update; the numbers live as long as the
process. Labels have few values by construction: never a host, a path or a user.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate


class _Number:
    kind = ""

    def __init__(self, name: str, sentence: str, *labels: str) -> None:
        self.name = name
        self.sentence = sentence
        self.labels = labels

    def samples(self) -> Iterator[str]:
        raise NotImplementedError

    def _series(self, name: str, values: tuple[str, ...], value: float, *more: tuple[str, str]) -> str:
        pairs = [*zip(self.labels, values, strict=True), *more]
        inside = ",".join(f'{k}="{_escaped(v)}"' for k, v in pairs)
        return f"{name}{{{inside}}} {value:.10g}" if inside else f"{name} {value:.10g}"


class Counter(_Number):
    """Only grows. By convention its name ends in ``_total``."""

    kind = "counter"

    def __init__(self, name: str, sentence: str, *labels: str) -> None:
        super().__init__(name, sentence, *labels)
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}

    def add(self, amount: float = 1.0, *labels: str) -> None:
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def value(self, *labels: str) -> float:
        return self._values.get(labels, 0.0)

    def samples(self) -> Iterator[str]:
        for labels, value in self._values.copy().items():
            yield self._series(self.name, labels, value)


class Gauge(_Number):
    """Goes up and down."""

    kind = "gauge"

    def __init__(self, name: str, sentence: str, *labels: str) -> None:
        super().__init__(name, sentence, *labels)
        self._values: dict[tuple[str, ...], float] = {}

    def set(self, value: float, *labels: str) -> None:
        self._values[labels] = value

    def value(self, *labels: str) -> float | None:
        return self._values.get(labels)

    def samples(self) -> Iterator[str]:
        for labels, value in self._values.copy().items():
            yield self._series(self.name, labels, value)


class Histogram(_Number):
    """How values are spread; ``bounds`` are the upper ends of its buckets."""

    kind = "histogram"

    def __init__(self, name: str, sentence: str, *labels: str, bounds: tuple[float, ...]) -> None:
        super().__init__(name, sentence, *labels)
        self._bounds = bounds
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, *labels: str) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def samples(self) -> Iterator[str]:
        ends = [f"{b:g}" for b in self._bounds] + ["+Inf"]
        for labels, counts in self._counts.copy().items():
            totals = list(accumulate(counts))
            for end, total in zip(ends, totals, strict=True):
                yield self._series(f"{self.name}_bucket", labels, total, ("le", end))
            yield self._series(f"{self.name}_sum", labels, self._sums.get(labels, 0.0))
            yield self._series(f"{self.name}_count", labels, totals[-1])


def exposition() -> str:
    """All numbers in Prometheus' text format."""
    lines: list[str] = []
    for number in NUMBERS:
        lines += [f"# HELP {number.name} {number.sentence}", f"# TYPE {number.name} {number.kind}"]
        lines += number.samples()
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

AGENT_EVENTS = Counter("lapwing_agent_events_total", "Events the agent measured.")
AGENT_SENT = Counter("lapwing_agent_sent_total", "Events the broker confirmed, by road: live or spooled.", "road")
AGENT_DROPPED = Gauge("lapwing_agent_dropped_events", "Events given up since the agent's start.")
AGENT_REJECTED = Counter("lapwing_agent_rejected_total", "Events that the Lapwing they were posted to will never take.")
AGENT_SPOOLED_EVENTS = Gauge("lapwing_agent_spooled_events", "Events that wait in the agent's spool.")
AGENT_SPOOLED_BYTES = Gauge("lapwing_agent_spooled_bytes", "Bytes that wait in the agent's spool.")
AGENT_TICK_SECONDS = Histogram(
    "lapwing_agent_tick_seconds", "Time from the beginning of a tick to its encoded event.", bounds=_SECONDS
)
AGENT_TICKS_MISSED = Counter("lapwing_agent_ticks_missed_total", "Ticks left out: suspended, or too busy.")
AGENT_COLLECTOR_SECONDS = Gauge(
    "lapwing_agent_collector_seconds", "Time the latest reading of a section took.", "section"
)
AGENT_COLLECTOR_FAILURES = Counter(
    "lapwing_agent_collector_failures_total", "Readings of a section that failed.", "section"
)

ALERTER_HOSTS = Gauge("lapwing_alerter_hosts", "Hosts that this alerter watches.")
ALERTER_HOSTS_FORGOTTEN = Counter(
    "lapwing_alerter_hosts_forgotten_total", "Silent hosts that were forgotten to make room for others."
)
ALERTER_UNWATCHED = Counter(
    "lapwing_alerter_unwatched_events_total", "Events of hosts that are not watched, because there is no room for more."
)
ALERTER_OPEN = Gauge("lapwing_alerter_open_alerts", "Alerts pending or firing, of the hosts of this alerter.")
ALERTER_REFUSED = Counter(
    "lapwing_alerter_refused_alerts_total", "Alerts that could not begin because there were too many."
)
ALERTER_LEADS = Gauge("lapwing_alerter_leads", "1 for the alerter that tells, 0 for those that stand by.")
ALERTER_WAITING = Gauge("lapwing_alerter_waiting_messages", "Messages that wait for an attempt, over all receivers.")
ALERTER_DELIVERIES = Counter(
    "lapwing_alerter_deliveries_total", "Attempts to tell somebody, and messages given up, by outcome.", "outcome"
)
ALERTER_DROPPED = Counter(
    "lapwing_alerter_dropped_messages_total", "Messages dropped because too many waited for the receiver."
)
ALERTER_LOST = Counter(
    "lapwing_alerter_lost_records_total", "Records of what was told that were dropped while the broker was away."
)

API_REQUESTS = Counter(
    "lapwing_api_requests_total", "HTTP requests answered, by method and status.", "method", "status"
)
API_SECONDS = Histogram(
    "lapwing_api_request_seconds", "Time an HTTP request took, live streams apart.", bounds=_SECONDS
)
API_STREAMS = Gauge("lapwing_api_streams", "Live streams (server-sent events) that are open.")
API_STREAMS_DROPPED = Counter(
    "lapwing_api_streams_dropped_total", "Live streams ended because the client was too slow."
)
API_LOGINS = Counter("lapwing_api_logins_total", "Logins tried, by outcome.", "outcome")
API_EVENTS = Counter("lapwing_api_events_total", "Events the API took from the topics, by topic.", "topic")
API_BAD_EVENTS = Counter("lapwing_api_bad_events_total", "Lines on the topics that the API could not read.", "topic")
API_POSTED = Counter(
    "lapwing_api_posted_events_total", "Events posted by agents: accepted, rejected, or limited for now.", "outcome"
)
API_HOSTS = Gauge("lapwing_api_hosts", "Hosts whose newest state the API holds in memory.")
API_LAG = Gauge("lapwing_api_lag_messages", "Messages on the topics that the API has not read yet.")

HEALTH_TROUBLE = Gauge(
    "lapwing_health_trouble",
    "1 while a check of this process is failing, by kind (progress, dependency, warning); the sentence is at /readyz.",
    "kind",
    "check",
)

BUS_LAG = Gauge(
    "lapwing_bus_lag_messages",
    "Messages a consumer group has not finished with, by topic, of the partitions this process has.",
    "group",
    "topic",
)
BUS_OLDEST_SECONDS = Gauge(
    "lapwing_bus_oldest_unprocessed_seconds",
    "Age of the oldest message a handler is at work on, by topic; it grows while the store is away.",
    "group",
    "topic",
)

INGEST_EVENTS = Counter("lapwing_ingest_events_total", "Events stored, by the table they landed in.", "table")
INGEST_DEAD_LETTERS = Counter(
    "lapwing_ingest_dead_letters_total",
    "Lines put aside, by topic and by who refused them: their form, their time or the store.",
    "topic",
    "stage",
)
INGEST_DEAD_LETTERS_OPEN = Gauge(
    "lapwing_ingest_dead_letters_open",
    "Dead letters in the store that were neither retried nor dropped, by topic.",
    "topic",
)
INGEST_BATCH_EVENTS = Histogram(
    "lapwing_ingest_batch_events",
    "Events a batch, by topic.",
    "topic",
    bounds=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000),
)
INGEST_INSERT_SECONDS = Histogram(
    "lapwing_ingest_insert_seconds", "Time an insert took, by the table it landed in.", "table", bounds=_SECONDS
)
INGEST_BEHIND_SECONDS = Gauge(
    "lapwing_ingest_behind_seconds", "Age of the newest event of the last batch when it was stored, by topic.", "topic"
)
INGEST_ROLLUP_SECONDS = Histogram(
    "lapwing_ingest_rollup_seconds", "Time one round of rollups took, by tier.", "tier", bounds=_SECONDS
)
INGEST_ROLLUP_MINUTES = Counter(
    "lapwing_ingest_rollup_host_minutes_total", "Minutes of single hosts rolled up, repeats counted.", "base"
)
INGEST_ROLLUP_PENDING = Gauge("lapwing_ingest_rollup_pending_minutes", "Minutes that wait for their rollup.")
INGEST_LATE = Counter(
    "lapwing_ingest_late_events_total", "Samples sent more than 30 s after they were measured, repeats counted."
)
INGEST_BACKFILLED = Counter(
    "lapwing_ingest_backfilled_events_total", "Samples that waited on their agent's disk, repeats counted."
)
HOST_MISSING_EVENTS = Gauge(
    "lapwing_host_missing_events", "Samples of the last 24 hours that were expected and are not stored, over all hosts."
)
HOSTS_INCOMPLETE = Gauge("lapwing_hosts_incomplete", "Hosts that miss any sample of the last 24 hours.")
STORE_BYTES = Gauge("lapwing_store_bytes", "Bytes the store holds on disk, as of the last look.")
STORE_BROKEN_PARTS = Gauge(
    "lapwing_store_broken_parts",
    "Parts the store found unreadable and put aside, as of the last look; rows are missing.",
)
STORE_PARTITIONS_DROPPED = Counter(
    "lapwing_store_partitions_dropped_total", "Partitions dropped to stay under the size cap, by table.", "table"
)

NUMBERS: tuple[_Number, ...] = (
    AGENT_EVENTS,
    AGENT_SENT,
    AGENT_DROPPED,
    AGENT_REJECTED,
    AGENT_SPOOLED_EVENTS,
    AGENT_SPOOLED_BYTES,
    AGENT_TICK_SECONDS,
    AGENT_TICKS_MISSED,
    AGENT_COLLECTOR_SECONDS,
    AGENT_COLLECTOR_FAILURES,
    ALERTER_HOSTS,
    ALERTER_HOSTS_FORGOTTEN,
    ALERTER_UNWATCHED,
    ALERTER_OPEN,
    ALERTER_REFUSED,
    ALERTER_LEADS,
    ALERTER_WAITING,
    ALERTER_DELIVERIES,
    ALERTER_DROPPED,
    ALERTER_LOST,
    API_REQUESTS,
    API_SECONDS,
    API_STREAMS,
    API_STREAMS_DROPPED,
    API_LOGINS,
    API_EVENTS,
    API_BAD_EVENTS,
    API_POSTED,
    API_HOSTS,
    API_LAG,
    HEALTH_TROUBLE,
    BUS_LAG,
    BUS_OLDEST_SECONDS,
    INGEST_EVENTS,
    INGEST_DEAD_LETTERS,
    INGEST_DEAD_LETTERS_OPEN,
    INGEST_BATCH_EVENTS,
    INGEST_INSERT_SECONDS,
    INGEST_BEHIND_SECONDS,
    INGEST_ROLLUP_SECONDS,
    INGEST_ROLLUP_MINUTES,
    INGEST_ROLLUP_PENDING,
    INGEST_LATE,
    INGEST_BACKFILLED,
    HOST_MISSING_EVENTS,
    HOSTS_INCOMPLETE,
    STORE_BYTES,
    STORE_BROKEN_PARTS,
    STORE_PARTITIONS_DROPPED,
)
