-- Who may use the API. The newest version of a row wins; nothing is ever stored that could be used to log in.

CREATE TABLE IF NOT EXISTS users
(
    username String,
    password_hash String COMMENT 'argon2id',
    role LowCardinality(String) COMMENT 'viewer, operator, admin',
    disabled Bool,
    sessions_valid_from DateTime64(3, 'UTC') COMMENT 'logins issued earlier are void',
    created_at DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY username;

CREATE TABLE IF NOT EXISTS api_tokens
(
    token_id String,
    name String,
    secret_hash String COMMENT 'sha-256 of the secret, hex',
    scopes Array(String),
    created_by String,
    created_at DateTime64(3, 'UTC'),
    expires_at Nullable(DateTime64(3, 'UTC')),
    revoked Bool,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY token_id;

-- Small things the replicas must agree on, such as the key that signs logins.
CREATE TABLE IF NOT EXISTS keyring
(
    name String,
    value String,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY name;
