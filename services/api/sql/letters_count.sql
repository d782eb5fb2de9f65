SELECT count(), countIf(bytes > length(value) OR trimBoth(value) = '')
FROM dead_letters FINAL
WHERE $wanted
