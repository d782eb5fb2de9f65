SELECT host_id, host, labels, toUnixTimestamp64Milli(last_seen)
FROM hosts FINAL
ORDER BY last_seen DESC
LIMIT {most:UInt32}
