-- Hosts that were heard lately, whose silence would be missed.
SELECT host_id, host, labels, toUnixTimestamp64Milli(last_seen)
FROM hosts FINAL
WHERE last_seen >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
LIMIT 10000
