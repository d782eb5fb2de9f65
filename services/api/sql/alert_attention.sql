SELECT toUnixTimestamp64Milli(ts), state, reason, `by`, toUnixTimestamp64Milli(until)
FROM attention_events FINAL
WHERE alert_id = {id:String}
ORDER BY ts DESC, event_id DESC
LIMIT {most:UInt32}
