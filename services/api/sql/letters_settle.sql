-- The letters are found first: beside `REPLACE`, `state` would be the new one.
INSERT INTO dead_letters
SELECT * REPLACE (
    {new:String} AS state,
    fromUnixTimestamp64Milli({now:Int64}, 'UTC') AS settled_at,
    {by:String} AS settled_by,
    {now:UInt64} AS version
)
FROM (
    SELECT *
    FROM dead_letters FINAL
    WHERE $wanted
)
