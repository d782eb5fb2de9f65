-- The hours say to ClickHouse what the key begins with; `systems` has another key, and needs none.
SELECT host_id, toUnixTimestamp64Milli(ts) AS at, $columns
FROM $table FINAL
WHERE host_id IN {hosts:Array(String)}
    AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    AND toStartOfHour(ts) >= {first_hour:Int64}
    AND toStartOfHour(ts) <= {last_hour:Int64}
ORDER BY at, host_id, $order
SETTINGS do_not_merge_across_partitions_select_final = 1
