SELECT
    username, password_hash, role, disabled, toUnixTimestamp64Milli(sessions_valid_from),
    toUnixTimestamp64Milli(created_at), version
FROM users FINAL
ORDER BY username
