-- The largest processes of a host at the last instant that was looked at.
SELECT pid, name, cpu_percent / 10, memory_percent / 100
FROM processes FINAL
WHERE host_id = {host_id:String}
    AND toStartOfHour(ts) >= {first_hour:Int64}
    AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    AND ts =
    (
        SELECT max(ts)
        FROM processes
        WHERE host_id = {host_id:String}
            AND toStartOfHour(ts) >= {first_hour:Int64}
            AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
            AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    )
ORDER BY $column DESC
LIMIT 5
SETTINGS do_not_merge_across_partitions_select_final = 1, max_threads = 2
