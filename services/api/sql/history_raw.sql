-- A metric straight from its readings, in buckets of `step` milliseconds; in no order.
-- The hours say to ClickHouse what the key begins with; from times alone it would read each hour of the day.
SELECT
    $keys
    intDiv(toUnixTimestamp64Milli(ts), {step:Int64}) * {step:Int64} AS bucket,
    $value AS value,
    count() AS n
FROM $table FINAL
WHERE $whose
    AND toStartOfHour(ts) >= {first_hour:Int64}
    AND toStartOfHour(ts) <= {last_hour:Int64}
    AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    AND $present
GROUP BY $group
SETTINGS do_not_merge_across_partitions_select_final = 1, max_threads = $threads
