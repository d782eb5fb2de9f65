SELECT name, value FROM keyring FINAL ORDER BY name
