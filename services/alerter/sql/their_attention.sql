-- What was made of these alerts last.
SELECT alert_id, toUnixTimestamp64Milli(updated_at), host_id, state, reason, `by`, toUnixTimestamp64Milli(until)
FROM attention FINAL
WHERE alert_id IN (SELECT alert_id FROM alerts FINAL WHERE $meant)
