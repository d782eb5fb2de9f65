-- All entries of a list section's newest reading at or before an instant.
SELECT toUnixTimestamp64Milli(ts), $columns
FROM $table FINAL
WHERE host_id = {host:String}
    AND toStartOfHour(ts) >= toStartOfHour(fromUnixTimestamp64Milli({since:Int64}, 'UTC'))
    AND toStartOfHour(ts) <= toStartOfHour(fromUnixTimestamp64Milli({at:Int64}, 'UTC'))
    AND ts = (
        SELECT max(ts)
        FROM $table
        WHERE host_id = {host:String}
            AND toStartOfHour(ts) >= toStartOfHour(fromUnixTimestamp64Milli({since:Int64}, 'UTC'))
            AND ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC')
            AND ts <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')
    )
