-- Every attempt to tell somebody of one of these alerts.
SELECT
    event_id, toUnixTimestamp64Milli(ts), notification_id, host_id, receiver, channel, status, alert_ids, attempt,
    outcome, occasion, group_key, resolved_ids
FROM deliveries FINAL
WHERE ts >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND hasAny(alert_ids, {alert_ids:Array(String)})
ORDER BY ts
