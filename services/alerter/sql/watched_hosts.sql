-- Hosts that were heard lately, whose silence would be missed.
SELECT host_id, host, labels, toUnixTimestamp64Milli(last_seen)
FROM hosts FINAL
WHERE last_seen >= fromUnixTimestamp64Milli({watched_since:Int64}, 'UTC')
ORDER BY last_seen DESC
LIMIT {most_hosts:UInt32}
