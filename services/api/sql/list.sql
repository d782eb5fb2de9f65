SELECT $columns
FROM $table FINAL
WHERE $filters
ORDER BY $sort $direction, $id $direction
LIMIT {limit:UInt32}
