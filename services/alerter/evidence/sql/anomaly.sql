-- What made an anomaly: JSON of its contributions.
SELECT toUnixTimestamp64Milli(updated_at), contributions
FROM anomalies FINAL
WHERE anomaly_id = {anomaly_id:String} AND started_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
LIMIT 1
