-- What the agents said of themselves lately.
SELECT
    host_id,
    toUnixTimestamp64Milli(max(systems.ts)),
    argMax((agent_version, agent_interval_ms, toUnixTimestamp64Milli(agent_started_at)), systems.ts)
FROM systems
WHERE ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND agent_interval_ms > 0
GROUP BY host_id
