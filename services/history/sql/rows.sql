-- The hours say to ClickHouse what the key begins with.
SELECT toUnixTimestamp64Milli(ts) AS at, $label AS label, $columns
FROM $table FINAL
WHERE host_id = {host:String}
    AND toStartOfHour(ts) >= {first_hour:Int64}
    AND toStartOfHour(ts) <= {last_hour:Int64}
    AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
ORDER BY at, label
SETTINGS do_not_merge_across_partitions_select_final = 1
