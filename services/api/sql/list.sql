SELECT $columns
FROM $source
WHERE $filters
ORDER BY $sort $direction, $id $direction
LIMIT {limit:UInt32}
