SELECT
    (SELECT groupBitXor(cityHash64(username, version)) FROM users),
    (SELECT groupBitXor(cityHash64(token_id, version)) FROM api_tokens),
    (SELECT groupBitXor(cityHash64(name, version)) FROM keyring)
