-- What the alerter makes of alerts (`Attention`), beside what they are (`Alert`): two writers, two rows. And what is new
-- about deliveries. `v_alerts` shows both as one state.

ALTER TABLE landing_alerts
    ADD COLUMN IF NOT EXISTS `by` Array(String),
    ADD COLUMN IF NOT EXISTS until Nullable(Int64),
    ADD COLUMN IF NOT EXISTS occasion String,
    ADD COLUMN IF NOT EXISTS group_key String,
    ADD COLUMN IF NOT EXISTS resolved_ids Array(String);

CREATE TABLE IF NOT EXISTS attention
(
    alert_id String,
    updated_at DateTime64(3, 'UTC'),
    host_id LowCardinality(String),
    state LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    `by` Array(String),
    until Nullable(DateTime64(3, 'UTC'))
)
ENGINE = ReplacingMergeTree(updated_at)
PARTITION BY toYYYYMM(updated_at)
ORDER BY alert_id
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS attention_mv TO attention AS
SELECT
    alert_id,
    fromUnixTimestamp64Milli(ts, 'UTC') AS updated_at,
    host_id, state, reason, `by`,
    fromUnixTimestamp64Milli(until, 'UTC') AS until
FROM landing_alerts
WHERE kind = 'attention';

CREATE TABLE IF NOT EXISTS attention_events
(
    ts DateTime64(3, 'UTC'),
    event_id String,
    alert_id String,
    host_id LowCardinality(String),
    state LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    `by` Array(String),
    until Nullable(DateTime64(3, 'UTC'))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (alert_id, ts, event_id)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS attention_events_mv TO attention_events AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    event_id, alert_id, host_id, state, reason, `by`,
    fromUnixTimestamp64Milli(until, 'UTC') AS until
FROM landing_alerts
WHERE kind = 'attention';

ALTER TABLE deliveries
    ADD COLUMN IF NOT EXISTS occasion LowCardinality(String),
    ADD COLUMN IF NOT EXISTS group_key String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS resolved_ids Array(String);

-- The view of 0003 with what is new. Changed in place: nothing that is inserted meanwhile misses it.
ALTER TABLE deliveries_mv MODIFY QUERY
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    event_id, notification_id, host_id, receiver, channel, status, alert_ids, attempt, outcome, detail,
    fromUnixTimestamp64Milli(next_attempt_at, 'UTC') AS next_attempt_at,
    occasion, group_key, resolved_ids
FROM landing_alerts
WHERE kind = 'delivery';

CREATE OR REPLACE VIEW v_alerts AS
SELECT
    a.started_at AS started_at,
    a.ended_at AS ended_at,
    a.updated_at AS updated_at,
    a.alert_id AS alert_id,
    a.fingerprint AS fingerprint,
    a.host_id AS host_id,
    a.host AS host,
    a.rule AS rule,
    if(a.state = 'firing' AND t.alert_id != '', t.state, a.state) AS state,
    a.severity AS severity,
    a.labels AS labels,
    a.annotations AS annotations,
    a.value AS value,
    a.threshold AS threshold,
    a.summary AS summary,
    a.reason AS reason,
    a.anomaly_id AS anomaly_id,
    a.state AS condition,
    if(a.state = 'firing', t.reason, '') AS attention_reason,
    if(a.state = 'firing', t.attention_by, []) AS attention_by,
    if(a.state = 'firing', t.attention_until, NULL) AS attention_until
FROM (SELECT * FROM alerts FINAL) AS a
LEFT JOIN
(
    SELECT alert_id, state, reason, `by` AS attention_by, until AS attention_until
    FROM attention FINAL
    WHERE state != 'active'
) AS t ON t.alert_id = a.alert_id;

CREATE VIEW IF NOT EXISTS v_deliveries AS
SELECT
    ts, notification_id, host_id, receiver, channel, status, occasion, alert_ids, resolved_ids, group_key, attempt,
    outcome, detail, next_attempt_at
FROM deliveries FINAL;
