SELECT base64Encode(value) FROM dead_letters FINAL WHERE id = {id:String}
