-- Lines that could not be stored. `id` says what came from where, so that the same letter twice is one row; the newest
-- word on a letter wins, and a letter that comes again (version 0) does not reopen a settled one.

CREATE TABLE IF NOT EXISTS dead_letters
(
    failed_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id String CODEC(ZSTD(1)),
    topic LowCardinality(String) CODEC(ZSTD(1)),
    `partition` Int32 CODEC(ZSTD(1)),
    `offset` Int64 CODEC(ZSTD(1)),
    line UInt32 CODEC(ZSTD(1)) COMMENT 'within its message, from 1',
    sent_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'timestamp of its message',
    host_id String CODEC(ZSTD(1)) COMMENT 'key of its message',
    stage LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'decode, time, store',
    reason String CODEC(ZSTD(1)),
    value String CODEC(ZSTD(3)) COMMENT 'the line as it came, its beginning where it was cut',
    bytes UInt64 CODEC(ZSTD(1)) COMMENT 'of the whole line',
    retry_of String CODEC(ZSTD(1)) COMMENT 'the letter whose retry this was',
    state LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'open, retried, dropped',
    settled_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    settled_by String CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(failed_at)
ORDER BY id
SETTINGS ttl_only_drop_parts = 1;

CREATE VIEW IF NOT EXISTS v_dead_letters AS
SELECT
    failed_at, id, topic, `partition`, `offset`, line, sent_at, host_id, stage, reason, value, bytes,
    bytes > length(value) AS truncated, retry_of, state, settled_at, settled_by
FROM dead_letters FINAL;
