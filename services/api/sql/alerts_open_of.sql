SELECT alert_id
FROM alerts FINAL
WHERE alert_id IN {ids:Array(String)} AND state IN ('pending', 'firing')
