"""What the answers look like, for the documentation and for tests; the answers themselves are made by hand (speed)."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

T = TypeVar("T")


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Failure(Shape):
    success: Literal[False]
    code: int
    message: str


class Success(Shape, Generic[T]):
    success: Literal[True]
    code: Literal[200]
    message: str
    data: T


class System(Shape):
    hostname: str
    platform: str
    architecture: str
    boot_time: str
    uptime: str


class CpuFrequency(Shape):
    current: float | None
    min: float | None
    max: float | None


class Cpu(Shape):
    cpu_count: int
    cpu_percent: float
    cpu_freq: CpuFrequency
    load_avg: list[float | None]


class Memory(Shape):
    total: int
    available: int
    used: int
    percent: float
    free: int


class Disk(Shape):
    device: str
    mountpoint: str
    fstype: str
    total: int
    used: int
    free: int
    percent: float


class Interface(Shape):
    interface: str
    bytes_sent: int
    bytes_recv: int
    packets_sent: int
    packets_recv: int


class MemoryInfo(Shape):
    rss: int
    vms: int


class Process(Shape):
    pid: int
    name: str
    status: str
    cpu_percent: float
    memory_percent: float
    memory_info: MemoryInfo
    create_time: str
    cmdline: list[str]


class GpuDevice(Shape):
    id: int
    name: str
    load: float
    memory_total: float
    memory_used: float
    memory_util: float
    temperature: float | None


class Gpu(Shape):
    gpu_available: Literal[True]
    gpu_info: list[GpuDevice]
    timestamp: str


class NoGpu(Shape):
    gpu_available: Literal[False]
    message: str
    timestamp: str


class Monitor(Shape):
    """``None`` for what the host has not reported."""

    system: System | None
    cpu: Cpu | None
    memory: Memory | None
    disks: list[Disk] | None
    network: list[Interface] | None
    processes: list[Process] | None
    gpus: list[GpuDevice]


class Account(Shape):
    expected: int
    stored: int
    missing: int
    late: int
    backfilled: int
    dropped: dict[str, int]
    dead_letters: int
    percent: float | None


class AccountedHour(Account):
    hour: str


class CompletenessAnswer(Shape):
    host: str
    host_id: str
    hours: list[AccountedHour]


class Host(Shape):
    """``completeness``: percent of the events that are stored; ``score``: 0..1 normal, above 1 anomalous."""

    id: str
    name: str
    labels: dict[str, str]
    last_seen: str
    status: Literal["online", "silent", "conflict"]
    agent_version: str | None
    score: float | None
    completeness: float | None
    ledger: Account | None


class MetricInfo(Shape):
    name: str
    unit: str
    labels: list[str]
    description: str


class SeriesShape(Shape):
    host: str
    host_id: str
    metric: str
    labels: dict[str, str]
    points: list[tuple[int, float | None]]


class HistoryAnswer(Shape):
    series: list[SeriesShape]
    step: int
    tier: Literal["raw", "1m", "1h"]


class RankedShape(Shape):
    host: str
    host_id: str
    labels: dict[str, str]
    value: float
    ts: str


class CpuUsage(Shape):
    data: list[float]


class Overload(Shape):
    overload: list[Literal[0, 1]]


class ContributionShape(Shape):
    metric: str
    labels: dict[str, str]
    share: float
    value: float
    expected_low: float
    expected_high: float


class AnomalyShape(Shape):
    id: str
    host_id: str
    host: str
    labels: dict[str, str]
    state: Literal["open", "close"]
    finding: str
    severity: Literal["info", "warning", "critical"]
    score: float
    peak_score: float
    started_at: str
    updated_at: str
    ended_at: str | None
    summary: str
    contributions: list[dict[str, Any]]
    top_processes: list[dict[str, Any]]
    evidence: dict[str, str]


class AnomalySeries(Shape):
    metric: str
    labels: dict[str, str]
    expected_low: float
    expected_high: float
    points: list[tuple[int, float]]


class SimilarAnomaly(Shape):
    id: str
    started_at: str
    ended_at: str | None
    severity: Literal["info", "warning", "critical"]
    peak_score: float
    summary: str


class FeedbackShape(Shape):
    verdict: Literal["normal", "real"]
    author: str
    note: str
    at: str


class AnomalyDetail(AnomalyShape):
    step: int
    tier: Literal["raw", "1m", "1h"]
    series: list[AnomalySeries]
    similar: list[SimilarAnomaly]
    feedback: FeedbackShape | None


class AlertShape(Shape):
    id: str
    fingerprint: str
    host_id: str
    host: str
    rule: str
    state: str
    severity: Literal["info", "warning", "critical"]
    labels: dict[str, str]
    annotations: dict[str, str]
    started_at: str
    updated_at: str
    ended_at: str | None
    value: float | None
    threshold: float | None
    summary: str
    reason: str
    anomaly_id: str
    condition: Literal["inactive", "pending", "firing", "resolved"]
    attention_reason: str
    attention_by: list[str]
    attention_until: str | None


class TransitionShape(Shape):
    at: str
    previous_state: str
    state: str
    value: float | None
    reason: str


class AttentionShape(Shape):
    at: str
    state: Literal["active", "suppressed", "acknowledged", "flapping"]
    reason: str
    by: list[str]
    until: str | None


class DeliveryShape(Shape):
    at: str
    notification_id: str
    receiver: str
    channel: str
    status: Literal["firing", "resolved"]
    occasion: str
    attempt: int
    outcome: Literal["delivered", "temporary_failure", "permanent_failure", "gave_up"]
    detail: str
    next_attempt_at: str | None
    resolved: bool


class AckShape(Shape):
    author: str
    note: str
    at: str
    expires_at: str | None
    severity: Literal["info", "warning", "critical"] | None
    value: float | None


class MatcherShape(Shape):
    name: str
    value: str
    is_regex: bool
    is_equal: bool


class SilenceShape(Shape):
    id: str
    state: Literal["pending", "active", "expired"]
    matchers: list[MatcherShape]
    starts_at: str
    ends_at: str
    author: str
    comment: str
    updated_at: str


class MetricSeries(Shape):
    metric: str
    labels: dict[str, str]
    points: list[tuple[int, float]]


class AlertDetail(AlertShape):
    transitions: list[TransitionShape]
    attention: list[AttentionShape]
    deliveries: list[DeliveryShape]
    ack: AckShape | None
    silences: list[SilenceShape]
    step: int
    tier: Literal["raw", "1m", "1h"]
    series: list[MetricSeries]


class ReceiverShape(Shape):
    name: str
    channels: list[str]
    target: str
    source: str
    matchers: list[MatcherShape]
    signed: bool
    headers: list[str]
    author: str
    updated_at: str | None


class TrialAnswer(Shape):
    channel: str
    outcome: Literal["delivered", "temporary_failure", "permanent_failure", "gave_up"]
    detail: str
    at: str


class TrialShape(Shape):
    receiver: str
    delivered: bool
    answers: list[TrialAnswer]


class RuleShape(Shape):
    name: str
    title: str
    severity: Literal["info", "warning", "critical"]
    watches: str
    condition: str
    matchers: list[str]
    labels: dict[str, str]
    metric: str
    enabled: bool
    source: str
    firing: int
    pending: int
    hosts: int


class RulesShape(Shape):
    rules: list[RuleShape]
    problems: list[str]
    told_at: str | None


class RouteNode(Shape):
    receiver: str
    matchers: list[str]


class EscalationStep(Shape):
    after: float
    receiver: str


class RouteTaken(Shape):
    path: list[RouteNode]
    receiver: str
    group_by: list[str]
    group_labels: dict[str, str]
    group_wait: float
    group_interval: float
    repeat_interval: float
    steps: list[EscalationStep]
    quiet_hours: list[str]
    quiet_now: list[str]


class PreviewShape(Shape):
    routes: list[RouteTaken]
    receivers: list[str]
    told_now: list[str]
    silences: list[SilenceShape]


class LogShape(Shape):
    id: str
    ts: str
    host_id: str
    host: str
    level: str
    source: str
    message: str
    fields: dict[str, str]


class LetterShape(Shape):
    id: str
    failed_at: str
    topic: str
    partition: int
    offset: int
    line: int
    sent_at: str
    host_id: str
    stage: Literal["decode", "time", "store"]
    reason: str
    bytes: int
    truncated: bool
    retry_of: str
    state: Literal["open", "retried", "dropped"]
    settled_at: str | None
    settled_by: str


class LetterText(LetterShape):
    value: str
    value_base64: str


class LetterCount(Shape):
    topic: str
    stage: Literal["decode", "time", "store"]
    reason: str
    host_id: str
    letters: int
    first: str
    last: str


class Letters(Shape):
    items: list[LetterShape]
    counts: list[LetterCount]


class SettledShape(Shape):
    matched: int
    settled: int
    hopeless: int
    left: int


class PageOf(Shape, Generic[T]):
    items: list[T]
    next_cursor: str | None


class LoginAnswer(Shape):
    access_token: str
    token_type: Literal["bearer"]
    expires_in: int


class Me(Shape):
    kind: Literal["user", "token", "local"]
    name: str
    role: Literal["viewer", "operator", "admin"] | None
    permissions: list[str]
    expires_at: str | None
    csrf_token: str | None


class UserShape(Shape):
    username: str
    role: Literal["viewer", "operator", "admin"]
    disabled: bool
    created_at: str


class RejectedLine(Shape):
    line: int
    reason: str


class Ingested(Shape):
    accepted: int
    rejected_count: int
    rejected: list[RejectedLine]


class TokenShape(Shape):
    id: str
    name: str
    scopes: list[str]
    host: str | None
    created_by: str
    created_at: str
    expires_at: str | None
    status: Literal["active", "expired", "revoked"]


class NewToken(TokenShape):
    token: str


def envelope(data: Any) -> type[BaseModel]:
    """The model of a success that carries ``data``."""
    name = getattr(data, "__name__", None) or str(data)
    return create_model(f"Success_{''.join(c if c.isalnum() else '_' for c in name)}", __base__=Success[data])
