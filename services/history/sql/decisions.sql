SELECT value
FROM decisions FINAL
WHERE startsWith(key, 'feedback:') AND value != ''
