-- Rollups: one row a metric and minute (hour), recomputed from `samples` and its sisters for every closed or touched
-- minute. Of two computations the one that saw more samples wins, then the later (`version` = count << 32 | seconds):
-- what was computed while the raw samples were there is never replaced by what is left of them. Narrow, because a
-- chart asks for one metric of one host. The metric `host.samples` counts a host's events.
-- `label` is the mountpoint, device, interface, GPU id or sensor; empty for a host's own metrics.
-- Values are real numbers, no fixed point. Quantiles are kept for the catalogue's important metrics, 0 elsewhere.

CREATE TABLE IF NOT EXISTS rollup_1m
(
    metric LowCardinality(String) CODEC(ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    label LowCardinality(String) CODEC(ZSTD(1)),
    ts DateTime('UTC') CODEC(Delta, ZSTD(1)),
    count UInt32 CODEC(Delta, ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    avg Float64 CODEC(ZSTD(1)),
    last Float64 CODEC(ZSTD(1)),
    p50 Float32 CODEC(ZSTD(1)),
    p95 Float32 CODEC(ZSTD(1)),
    p99 Float32 CODEC(ZSTD(1)),
    computed_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(ts)
ORDER BY (metric, host_id, label, ts)
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS rollup_1h
(
    metric LowCardinality(String) CODEC(ZSTD(1)),
    host_id LowCardinality(String) CODEC(ZSTD(1)),
    label LowCardinality(String) CODEC(ZSTD(1)),
    ts DateTime('UTC') CODEC(Delta, ZSTD(1)),
    count UInt32 CODEC(Delta, ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    avg Float64 CODEC(ZSTD(1)),
    last Float64 CODEC(ZSTD(1)),
    p50 Float32 CODEC(ZSTD(1)),
    p95 Float32 CODEC(ZSTD(1)),
    p99 Float32 CODEC(ZSTD(1)),
    computed_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ts)
ORDER BY (metric, host_id, label, ts)
SETTINGS ttl_only_drop_parts = 1;
