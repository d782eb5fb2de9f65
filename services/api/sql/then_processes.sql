SELECT
    pid, name, status, cpu_percent, memory_percent, rss, vms, toUnixTimestamp64Milli(create_time), cmdline, username
FROM processes FINAL
WHERE host_id = {host:String}
    AND toStartOfHour(ts) = toStartOfHour(fromUnixTimestamp64Milli({at:Int64}, 'UTC'))
    AND ts = fromUnixTimestamp64Milli({at:Int64}, 'UTC')
