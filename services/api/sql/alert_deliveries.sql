-- Attempts are dated by our clock, the alert by its host's.
SELECT
    toUnixTimestamp64Milli(ts), notification_id, receiver, channel, status, occasion, attempt, outcome, detail,
    toUnixTimestamp64Milli(next_attempt_at), has(resolved_ids, {id:String})
FROM deliveries FINAL
WHERE ts >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND has(alert_ids, {id:String})
ORDER BY ts DESC, event_id DESC
LIMIT {most:UInt32}
