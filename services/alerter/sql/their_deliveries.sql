-- Every attempt to tell somebody of one of these alerts.
SELECT
    event_id, toUnixTimestamp64Milli(ts), notification_id, host_id, receiver, channel, status, alert_ids, attempt,
    outcome, occasion, group_key, resolved_ids
FROM deliveries FINAL
WHERE event_id IN
(
    SELECT event_id
    FROM deliveries
    ARRAY JOIN alert_ids AS alert_id
    -- An alert began by its host's clock, and was told by ours.
    WHERE ts >= (SELECT min(started_at) FROM alerts FINAL WHERE $meant) - INTERVAL 1 DAY
        AND alert_id IN (SELECT alert_id FROM alerts FINAL WHERE $meant)
)
ORDER BY ts
