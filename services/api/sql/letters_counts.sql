SELECT
    topic, stage, reason, host_id, count() AS letters,
    toUnixTimestamp64Milli(min(failed_at)), toUnixTimestamp64Milli(max(failed_at)) AS last
FROM dead_letters FINAL
WHERE $wanted
GROUP BY topic, stage, reason, host_id
ORDER BY letters DESC, last DESC, topic, stage, reason, host_id
LIMIT {limit:UInt32}
