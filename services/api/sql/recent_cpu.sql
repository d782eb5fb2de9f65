SELECT toUnixTimestamp64Milli(ts), cpu_percent / 10
FROM samples FINAL
WHERE host_id = {host:String}
    AND bitTest(sections, 0)
    AND toStartOfHour(ts) >= toStartOfHour(fromUnixTimestamp64Milli({since:Int64}, 'UTC'))
    AND ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND ts <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')
ORDER BY ts DESC
LIMIT {limit:UInt32}
