-- A metric from its hour rollups before `hours_until`, its minute rollups from there to `minutes_until`, and its
-- readings after that, so that the hour and the minutes that are still open are there too.
SELECT host_id, label, groupArray(bucket) AS buckets, groupArray(value) AS points
FROM
(
    SELECT
        host_id,
        label,
        intDiv(at, {step:Int64}) * {step:Int64} AS bucket,
        round($combined, $digits) AS value
    FROM
    (
        SELECT
            host_id, toString(label) AS label, toInt64(toUnixTimestamp(ts)) * 1000 AS at,
            toFloat64(count) AS n, min AS low, max AS high, avg * count AS total, last AS newest,
            toFloat64(p50) AS q50, toFloat64(p95) AS q95, toFloat64(p99) AS q99
        FROM rollup_1h FINAL
        WHERE metric = {metric:String} AND $whose
            AND ts >= toDateTime(intDiv({from:Int64}, 3600000) * 3600, 'UTC')
            AND ts < toDateTime(intDiv({hours_until:Int64}, 1000), 'UTC')
            AND ts <= toDateTime(intDiv({to:Int64}, 1000), 'UTC')
        UNION ALL
        SELECT
            host_id, toString(label) AS label, toInt64(toUnixTimestamp(ts)) * 1000 AS at,
            toFloat64(count) AS n, min AS low, max AS high, avg * count AS total, last AS newest,
            toFloat64(p50) AS q50, toFloat64(p95) AS q95, toFloat64(p99) AS q99
        FROM rollup_1m FINAL
        WHERE metric = {metric:String} AND $whose
            AND ts >= toDateTime(intDiv({from:Int64}, 60000) * 60, 'UTC')
            AND ts >= toDateTime(intDiv({hours_until:Int64}, 1000), 'UTC')
            AND ts < toDateTime(intDiv({minutes_until:Int64}, 1000), 'UTC')
            AND ts <= toDateTime(intDiv({to:Int64}, 1000), 'UTC')
        UNION ALL
        SELECT
            host_id, toString($label) AS label, intDiv(toUnixTimestamp64Milli(ts), 60000) * 60000 AS at,
            toFloat64(count()) AS n, min($column) / $factor AS low, max($column) / $factor AS high,
            sum($column) / $factor AS total, argMax($column, ts) / $factor AS newest,
            quantile(0.5)($column) / $factor AS q50, quantile(0.95)($column) / $factor AS q95,
            quantile(0.99)($column) / $factor AS q99
        FROM $table FINAL
        WHERE $whose
            AND ts >= fromUnixTimestamp64Milli(intDiv({from:Int64}, 60000) * 60000, 'UTC')
            AND ts >= fromUnixTimestamp64Milli({minutes_until:Int64}, 'UTC')
            AND ts <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
            AND $present
        GROUP BY host_id, label, at
    )
    GROUP BY host_id, label, bucket
    ORDER BY host_id, label, bucket
)
GROUP BY host_id, label
$finish
SETTINGS do_not_merge_across_partitions_select_final = 1
