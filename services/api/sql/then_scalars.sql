-- The newest reading of each scalar section at or before an instant; `bit` of `sections` says who is there.
SELECT
    toUnixTimestamp64Milli(maxIf(ts, bitTest(sections, 0))) AS cpu_ts,
    argMaxIf((cpu_count, cpu_percent, cpu_freq_current, cpu_freq_min, cpu_freq_max), ts, bitTest(sections, 0)) AS cpu,
    toUnixTimestamp64Milli(maxIf(ts, bitTest(sections, 1))) AS load_ts,
    argMaxIf((cpu_load1, cpu_load5, cpu_load15), ts, bitTest(sections, 1)) AS load,
    toUnixTimestamp64Milli(maxIf(ts, bitTest(sections, 2))) AS memory_ts,
    argMaxIf(
        (memory_total_bytes, memory_available_bytes, memory_used_bytes, memory_free_bytes, memory_percent),
        ts, bitTest(sections, 2)
    ) AS memory,
    toUnixTimestamp64Milli(maxIf(ts, bitTest(sections, 5))) AS processes_ts,
    argMaxIf(processes_count, ts, bitTest(sections, 5)) AS processes
FROM samples
WHERE host_id = {host:String}
    AND toStartOfHour(ts) >= toStartOfHour(fromUnixTimestamp64Milli({since:Int64}, 'UTC'))
    AND ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')
