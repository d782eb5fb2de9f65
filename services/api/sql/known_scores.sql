SELECT host_id, toUnixTimestamp64Milli(max(scores.ts)), argMax(score, scores.ts) / 1000
FROM scores
WHERE ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC')
GROUP BY host_id
