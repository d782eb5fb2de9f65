-- What people decided: the control topic's events by key, for brokers that forget. Without a value: taken back.

CREATE TABLE IF NOT EXISTS decisions
(
    key String COMMENT '<kind>:<id>',
    value String CODEC(ZSTD(1)) COMMENT 'JSON',
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY key;
