SELECT host_id, host, labels
FROM hosts FINAL
WHERE empty({hosts:Array(String)}) OR has({hosts:Array(String)}, host_id) OR has({hosts:Array(String)}, host)
ORDER BY host, host_id
