SELECT value FROM decisions FINAL WHERE key = {key:String} AND value != ''
