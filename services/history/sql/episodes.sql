SELECT anomaly_id, host_id, finding, toUnixTimestamp64Milli(started_at) AS started, toUnixTimestamp64Milli(ended_at)
FROM anomalies FINAL
WHERE started_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    AND (ended_at IS NULL OR ended_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC'))
    AND (empty({hosts:Array(String)}) OR has({hosts:Array(String)}, host_id))
ORDER BY started, host_id
