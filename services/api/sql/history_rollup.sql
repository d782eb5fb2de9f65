-- A metric from its minute or hour rollups, in buckets of `step` milliseconds.
SELECT
    host_id,
    toString(r.label) AS label,
    intDiv(toInt64(toUnixTimestamp(r.ts)) * 1000, {step:Int64}) * {step:Int64} AS bucket,
    $value AS value,
    $n AS n
FROM $table AS r FINAL
WHERE metric = {metric:String}
    AND $whose
    AND r.ts >= toDateTime(intDiv({from:Int64}, 1000), 'UTC')
    AND r.ts <= toDateTime(intDiv({to:Int64}, 1000), 'UTC')
$group
ORDER BY host_id, label, bucket
SETTINGS do_not_merge_across_partitions_select_final = 1, max_threads = $threads
