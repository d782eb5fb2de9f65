SELECT
    id, toUnixTimestamp64Milli(failed_at), topic, `partition`, `offset`, line, toUnixTimestamp64Milli(sent_at), host_id,
    stage, reason, bytes, length(value), retry_of, state, toUnixTimestamp64Milli(settled_at), settled_by
FROM dead_letters FINAL
WHERE $wanted
ORDER BY failed_at DESC, topic, `partition`, `offset` DESC, line DESC
LIMIT {limit:UInt32}
