-- A metric of a host in buckets of `step` milliseconds, each as bad as its worst reading.
-- The hours say to ClickHouse what the key begins with; from times alone it would read each hour of the day.
SELECT
    intDiv(toUnixTimestamp64Milli(ts), {step:Int64}) * {step:Int64} AS at,
    $worst($column) / $factor AS value
FROM $table FINAL
WHERE host_id = {host_id:String}
    AND toStartOfHour(ts) >= {first_hour:Int64}
    AND toStartOfHour(ts) <= {last_hour:Int64}
    AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    AND $present
GROUP BY at
ORDER BY at
LIMIT 1000
SETTINGS do_not_merge_across_partitions_select_final = 1, max_threads = 2
