"""Users, API tokens and the keyring in the store: read whole, written a row at a time; a row's newest version wins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from services.api.auth.records import ApiToken, User
from services.api.queries import Queries
from services.api.statements import statement

SIGNING_KEY = "login-signing-key"
REVOKED = "revoked-session:"


@dataclass(frozen=True)
class Contents:
    users: dict[str, User]
    tokens: dict[str, ApiToken]
    keys: dict[str, str]


class Vault:
    """Every method raises ``ApiError`` 503 when the store is away."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def stamp(self) -> tuple[int, ...]:
        """Changes with every write of anybody."""
        (row,) = await self._queries.rows(statement("vault_stamp"))
        return tuple(row)

    async def read(self, now_ms: int) -> Contents:
        """Everything that still matters at ``now_ms``."""
        users = [User(*row) for row in await self._queries.rows(statement("vault_users"))]
        tokens = [
            ApiToken(i, name, digest, tuple(scopes), by, at, expires, revoked, version)
            for i, name, digest, scopes, by, at, expires, revoked, version in await self._queries.rows(
                statement("vault_tokens")
            )
        ]
        keys = await self._queries.rows(statement("vault_keys"), {"now": now_ms, "revoked": REVOKED})
        return Contents({u.username: u for u in users}, {t.token_id: t for t in tokens}, dict(keys))

    async def forget(self, now_ms: int) -> None:
        """Revocations of logins that have expired by themselves."""
        await self._queries.command(statement("vault_forget"), {"now": now_ms, "revoked": REVOKED})

    async def keep_user(self, user: User) -> None:
        await self._queries.insert(
            "users",
            ["username", "password_hash", "role", "disabled", "sessions_valid_from", "created_at", "version"],
            [
                (
                    user.username,
                    user.password_hash,
                    user.role,
                    user.disabled,
                    _when(user.sessions_valid_from),
                    _when(user.created_at),
                    user.version,
                )
            ],
        )

    async def keep_token(self, token: ApiToken) -> None:
        await self._queries.insert(
            "api_tokens",
            [
                "token_id",
                "name",
                "secret_hash",
                "scopes",
                "created_by",
                "created_at",
                "expires_at",
                "revoked",
                "version",
            ],
            [
                (
                    token.token_id,
                    token.name,
                    token.secret_hash,
                    list(token.scopes),
                    token.created_by,
                    _when(token.created_at),
                    None if token.expires_at is None else _when(token.expires_at),
                    token.revoked,
                    token.version,
                )
            ],
        )

    async def keep_key(self, name: str, value: str, version: int) -> None:
        await self._queries.insert("keyring", ["name", "value", "version"], [(name, value, version)])


def _when(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
