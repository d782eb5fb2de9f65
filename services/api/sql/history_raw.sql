-- A metric straight from its readings, in buckets of `step` milliseconds.
SELECT
    host_id,
    toString($label) AS label,
    intDiv(toUnixTimestamp64Milli(ts), {step:Int64}) * {step:Int64} AS bucket,
    $value AS value,
    count() AS n
FROM $table FINAL
WHERE $whose
    AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    AND $present
GROUP BY host_id, label, bucket
ORDER BY host_id, label, bucket
SETTINGS do_not_merge_across_partitions_select_final = 1, max_threads = $threads
