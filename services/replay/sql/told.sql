SELECT host_id, host, toUnixTimestamp64Milli(started_at) AS started, toUnixTimestamp64Milli(ended_at), finding, severity,
    peak_score, summary
FROM anomalies FINAL
WHERE started_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND started_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
ORDER BY started, host_id
