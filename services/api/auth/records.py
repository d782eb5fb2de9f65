"""Users and API tokens as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.api.auth.principal import Role
from shared.runtime import times


@dataclass(frozen=True)
class User:
    """Times are epoch milliseconds; sessions issued before ``sessions_valid_from`` are void."""

    username: str
    password_hash: str
    role: Role
    disabled: bool
    sessions_valid_from: int
    created_at: int
    version: int

    def shown(self) -> dict[str, Any]:
        return {
            "username": self.username,
            "role": self.role,
            "disabled": self.disabled,
            "created_at": times.iso(self.created_at),
        }


HOST = "host:"


@dataclass(frozen=True)
class ApiToken:
    """A scope ``host:ID`` narrows ``ingest`` to the events of one host."""

    token_id: str
    name: str
    secret_hash: str
    scopes: tuple[str, ...]
    created_by: str
    created_at: int
    expires_at: int | None
    revoked: bool
    version: int

    @property
    def host_id(self) -> str:
        """Empty for any host."""
        return next((s.removeprefix(HOST) for s in self.scopes if s.startswith(HOST)), "")

    def shown(self, now_ms: int) -> dict[str, Any]:
        expired = self.expires_at is not None and self.expires_at <= now_ms
        return {
            "id": self.token_id,
            "name": self.name,
            "scopes": [s for s in self.scopes if not s.startswith(HOST)],
            "host": self.host_id or None,
            "created_by": self.created_by,
            "created_at": times.iso(self.created_at),
            "expires_at": None if self.expires_at is None else times.iso(self.expires_at),
            "status": "revoked" if self.revoked else "expired" if expired else "active",
        }
