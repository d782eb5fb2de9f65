-- Scores of single metrics, where they matter: one row a metric and instant, so that they are rolled up as others are.
-- `metric` is as the detector names it: `disk.percent{/srv}`.

CREATE TABLE IF NOT EXISTS metric_scores
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    metric LowCardinality(String) CODEC(ZSTD(1)),
    score UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'x1000'
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(ts)
ORDER BY (toStartOfHour(ts), host_id, metric, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS metric_scores_mv TO metric_scores AS
SELECT
    fromUnixTimestamp64Milli(ts, 'UTC') AS ts,
    host_id,
    metric,
    toUInt64(round(least(of_metric, 1e12) * 1000)) AS score
FROM landing_anomalies
ARRAY JOIN mapKeys(metrics) AS metric, mapValues(metrics) AS of_metric
WHERE kind = 'score';
