-- Logs, scores, anomalies, alerts, deliveries: one landing table per topic, split by `kind`.
-- Anomalies and alerts keep the newest word on each episode; `alert_events` keeps every transition.

CREATE TABLE IF NOT EXISTS landing_logs
(
    event_id String, ts Int64, host_id String, host String, source String, level String, message String,
    fields Map(String, String)
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS logs
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    host LowCardinality(String) CODEC(ZSTD(1)),
    event_id String CODEC(ZSTD(1)),
    source LowCardinality(String) CODEC(ZSTD(1)),
    level LowCardinality(String) CODEC(ZSTD(1)),
    message String CODEC(ZSTD(1)),
    fields Map(LowCardinality(String), String) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, ts, event_id)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS logs_mv TO logs AS
SELECT fromUnixTimestamp64Milli(ts, 'UTC') AS ts, host_id, host, event_id, source, level, message, fields
FROM landing_logs;

CREATE TABLE IF NOT EXISTS landing_anomalies
(
    kind String, event_id String, ts Int64, host_id String, host String, labels Map(String, String),
    score Float64, metrics Map(String, Float64), warming_up Bool,
    anomaly_id String, state String, finding String, severity String, peak_score Float64,
    started_at Int64, ended_at Nullable(Int64), summary String,
    contributions String, top_processes String, evidence Map(String, String)
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS scores
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    score UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x1000',
    warming_up Bool CODEC(ZSTD(1)),
    metrics Map(LowCardinality(String), Float32) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1)) COMMENT 'when it was inserted, for the rollups',
    INDEX by_stored_at stored_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS scores_mv TO scores AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    toUInt64(round(least(score, 1e12) * 1000)) AS score,
    warming_up,
    metrics
FROM landing_anomalies
WHERE kind = 'score';

CREATE TABLE IF NOT EXISTS anomalies
(
    started_at DateTime64(3, 'UTC'),
    anomaly_id String,
    updated_at DateTime64(3, 'UTC'),
    ended_at Nullable(DateTime64(3, 'UTC')),
    host_id LowCardinality(String),
    host LowCardinality(String),
    labels Map(LowCardinality(String), String),
    state LowCardinality(String),
    finding LowCardinality(String),
    severity LowCardinality(String),
    score Float64,
    peak_score Float64,
    summary String CODEC(ZSTD(1)),
    contributions String CODEC(ZSTD(1)) COMMENT 'JSON',
    top_processes String CODEC(ZSTD(1)) COMMENT 'JSON',
    evidence Map(LowCardinality(String), String)
)
ENGINE = ReplacingMergeTree(updated_at)
PARTITION BY toYYYYMM(started_at)
ORDER BY (started_at, anomaly_id)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS anomalies_mv TO anomalies AS
SELECT
    fromUnixTimestamp64Milli(started_at, 'UTC') AS started_at,
    anomaly_id,
    fromUnixTimestamp64Milli(ts, 'UTC') AS updated_at,
    fromUnixTimestamp64Milli(ended_at, 'UTC') AS ended_at,
    host_id, host, labels, state, finding, severity, score, peak_score, summary, contributions, top_processes, evidence
FROM landing_anomalies
WHERE kind = 'anomaly';

CREATE TABLE IF NOT EXISTS landing_alerts
(
    kind String, event_id String, ts Int64, host_id String, host String, alert_id String, fingerprint String,
    rule String, state String, previous_state String, severity String, labels Map(String, String),
    annotations Map(String, String), value Nullable(Float64), threshold Nullable(Float64),
    started_at Int64, ended_at Nullable(Int64), summary String, reason String, anomaly_id String,
    notification_id String, receiver String, channel String, status String, alert_ids Array(String),
    attempt UInt32, outcome String, detail String, next_attempt_at Nullable(Int64)
)
ENGINE = Null;

CREATE TABLE IF NOT EXISTS alerts
(
    started_at DateTime64(3, 'UTC'),
    alert_id String,
    updated_at DateTime64(3, 'UTC'),
    ended_at Nullable(DateTime64(3, 'UTC')),
    fingerprint String,
    host_id LowCardinality(String),
    host LowCardinality(String),
    rule LowCardinality(String),
    state LowCardinality(String),
    severity LowCardinality(String),
    labels Map(LowCardinality(String), String),
    annotations Map(LowCardinality(String), String),
    value Nullable(Float64),
    threshold Nullable(Float64),
    summary String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    anomaly_id String
)
ENGINE = ReplacingMergeTree(updated_at)
PARTITION BY toYYYYMM(started_at)
ORDER BY (started_at, alert_id)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS alerts_mv TO alerts AS
SELECT
    fromUnixTimestamp64Milli(started_at, 'UTC') AS started_at,
    alert_id,
    fromUnixTimestamp64Milli(ts, 'UTC') AS updated_at,
    fromUnixTimestamp64Milli(ended_at, 'UTC') AS ended_at,
    fingerprint, host_id, host, rule, state, severity, labels, annotations, value, threshold, summary, reason, anomaly_id
FROM landing_alerts
WHERE kind = 'alert';

CREATE TABLE IF NOT EXISTS alert_events
(
    ts DateTime64(3, 'UTC'),
    event_id String,
    alert_id String,
    host_id LowCardinality(String),
    rule LowCardinality(String),
    previous_state LowCardinality(String),
    state LowCardinality(String),
    value Nullable(Float64),
    reason String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (alert_id, ts, event_id)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS alert_events_mv TO alert_events AS
SELECT fromUnixTimestamp64Milli(ts, 'UTC') AS ts, event_id, alert_id, host_id, rule, previous_state, state, value, reason
FROM landing_alerts
WHERE kind = 'alert';

CREATE TABLE IF NOT EXISTS deliveries
(
    ts DateTime64(3, 'UTC'),
    event_id String,
    notification_id String,
    host_id LowCardinality(String),
    receiver LowCardinality(String),
    channel LowCardinality(String),
    status LowCardinality(String),
    alert_ids Array(String),
    attempt UInt32,
    outcome LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    next_attempt_at Nullable(DateTime64(3, 'UTC'))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (ts, event_id)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS deliveries_mv TO deliveries AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    event_id, notification_id, host_id, receiver, channel, status, alert_ids, attempt, outcome, detail,
    fromUnixTimestamp64Milli(next_attempt_at, 'UTC') AS next_attempt_at
FROM landing_alerts
WHERE kind = 'delivery';
