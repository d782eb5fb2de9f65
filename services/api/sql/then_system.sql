SELECT
    toUnixTimestamp64Milli(ts), hostname, platform, architecture, toUnixTimestamp64Milli(boot_time), kernel, os,
    agent_version, agent_interval_ms, toUnixTimestamp64Milli(agent_started_at)
FROM systems
WHERE host_id = {host:String}
    AND ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')
ORDER BY ts DESC
LIMIT 1
