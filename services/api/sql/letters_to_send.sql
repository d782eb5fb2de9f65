-- The oldest first, as they came. A line that was cut or is empty cannot be sent again.
SELECT id, topic, host_id, base64Encode(value)
FROM dead_letters FINAL
WHERE bytes = length(value) AND trimBoth(value) != ''
    AND state = 'open'
    AND $wanted
ORDER BY failed_at, topic, `partition`, `offset`, line
LIMIT {limit:UInt32}
