SELECT key, value FROM decisions FINAL WHERE value != '' ORDER BY key
