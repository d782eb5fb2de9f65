SELECT
    toInt64(toUnixTimestamp(hour)) * 1000, expected, stored, missing, late, backfilled, dropped, dead_letters, percent
FROM v_completeness
WHERE host_id = {host:String}
    AND hour >= toStartOfHour(toDateTime(intDiv({from:Int64}, 1000), 'UTC'))
    AND hour <= toDateTime(intDiv({to:Int64}, 1000), 'UTC')
ORDER BY hour
LIMIT {most:UInt32}
