SELECT value FROM decisions FINAL WHERE startsWith(key, {prefix:String}) AND value != '' ORDER BY key
