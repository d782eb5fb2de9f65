-- A metric straight from its readings, in buckets of `step` milliseconds.
SELECT host_id, label, groupArray(bucket) AS buckets, groupArray(value) AS points
FROM
(
    SELECT
        host_id,
        toString($label) AS label,
        intDiv(toUnixTimestamp64Milli(ts), {step:Int64}) * {step:Int64} AS bucket,
        round($raw, $digits) AS value
    FROM $table FINAL
    WHERE $whose
        AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
        AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
        AND $present
    GROUP BY host_id, label, bucket
    ORDER BY host_id, label, bucket
)
GROUP BY host_id, label
$finish
SETTINGS do_not_merge_across_partitions_select_final = 1
