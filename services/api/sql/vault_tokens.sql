SELECT
    token_id, name, secret_hash, scopes, created_by, toUnixTimestamp64Milli(created_at),
    toUnixTimestamp64Milli(expires_at), revoked, version
FROM api_tokens FINAL
ORDER BY created_at, token_id
