-- A metric from its minute or hour rollups, in buckets of `step` milliseconds; in no order.
-- Times are compared as seconds: planning each function takes longer than reading a day of one host.
SELECT
    $keys
    $bucket AS bucket,
    $value AS value,
    $n AS n
FROM $table AS r FINAL
WHERE r.metric = {metric:String}
    AND $whose
    AND r.ts >= {from:Int64}
    AND r.ts <= {to:Int64}
$group
SETTINGS do_not_merge_across_partitions_select_final = 1, max_threads = $threads
