SELECT toUnixTimestamp64Milli(ts), previous_state, state, value, reason
FROM alert_events FINAL
WHERE alert_id = {id:String}
ORDER BY ts, event_id
LIMIT {most:UInt32}
