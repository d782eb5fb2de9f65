-- Which letters: `Wanted` of `dead_letters.py`; a field without values wants all. Put into the other statements about them.
(empty({ids:Array(String)}) OR id IN {ids:Array(String)}
        OR concat(topic, ':', toString(`partition`), ':', toString(`offset`)) IN {ids:Array(String)}
        OR concat(topic, ':', toString(`partition`), ':', toString(`offset`), ':', toString(line)) IN {ids:Array(String)})
    AND (empty({topic:Array(String)}) OR topic IN {topic:Array(String)})
    AND (empty({stage:Array(String)}) OR stage IN {stage:Array(String)})
    AND (empty({state:Array(String)}) OR state IN {state:Array(String)})
    AND (empty({host:Array(String)}) OR host_id IN {host:Array(String)}
        OR host_id IN (SELECT host_id FROM hosts FINAL WHERE host IN {host:Array(String)}))
    AND positionCaseInsensitiveUTF8(reason, {reason:String}) > 0
    AND failed_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
