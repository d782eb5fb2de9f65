-- The last episode of the same labels before this one, and the worst value it was told with.
WITH last AS
(
    SELECT alert_id, started_at, ended_at
    FROM alerts FINAL
    WHERE fingerprint = {fingerprint:String}
        AND alert_id != {alert_id:String}
        AND state = 'resolved'
        AND started_at < fromUnixTimestamp64Milli({before:Int64}, 'UTC')
        AND started_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    ORDER BY started_at DESC
    LIMIT 1
)
SELECT
    last.alert_id,
    toUnixTimestamp64Milli(last.started_at),
    toUnixTimestamp64Milli(last.ended_at),
    (SELECT $worst(value) FROM alert_events WHERE alert_id IN (SELECT alert_id FROM last) AND state = 'firing')
FROM last
SETTINGS max_threads = 2
