-- The newest word on every alert that is pending or firing, and on those that ended since then.
SELECT
    alert_id, fingerprint, host_id, host, rule, state, severity, labels, annotations, value, threshold,
    toUnixTimestamp64Milli(started_at), toUnixTimestamp64Milli(updated_at), toUnixTimestamp64Milli(ended_at),
    summary, reason, anomaly_id
FROM alerts FINAL
WHERE $meant
ORDER BY state IN ('pending', 'firing') DESC, updated_at DESC
LIMIT 100000
