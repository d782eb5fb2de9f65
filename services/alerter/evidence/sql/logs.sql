-- What a host logged around an instant: what is serious first, then what is near.
SELECT toUnixTimestamp64Milli(ts), level, source, substring(message, 1, 1000)
FROM logs FINAL
WHERE host_id = {host_id:String}
    AND toStartOfHour(ts) >= {first_hour:Int64}
    AND toStartOfHour(ts) <= {last_hour:Int64}
    AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
ORDER BY level IN ('warning', 'error', 'critical') DESC, abs(toUnixTimestamp64Milli(ts) - {about:Int64})
LIMIT 8
SETTINGS do_not_merge_across_partitions_select_final = 1, max_threads = 2
