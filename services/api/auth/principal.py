"""Who asks, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["viewer", "operator", "admin"]
Permission = Literal["read", "act", "admin", "ingest"]

ROLES: Mapping[Role, frozenset[Permission]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "act"}),
    "admin": frozenset({"read", "act", "admin"}),
}
SCOPES: tuple[Permission, ...] = ("read", "act", "admin", "ingest")
_NEVER_MS = 1 << 62


@dataclass(frozen=True)
class Principal:
    """``name`` is a user's name, or an API token's id; ``session_id`` is there for logins only.

    ``host_id``: the only host whose events a token may hand in; empty for any.
    """

    kind: Literal["user", "token", "local"]
    name: str
    permissions: frozenset[Permission]
    role: Role | None = None
    expires_ms: int = _NEVER_MS
    session_id: str = ""
    host_id: str = ""

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    @property
    def shown(self) -> str:
        """For logs: never a secret."""
        return self.name if self.kind == "user" else f"{self.kind}:{self.name}"


LOCAL_ADMIN = Principal("local", "socket", ROLES["admin"], "admin")
"""Whoever may open the admin socket in the data directory."""


def scoped(scopes: tuple[str, ...]) -> frozenset[Permission]:
    """What an API token of these scopes may do: exactly what they say, and reading for all but ``ingest``."""
    named = frozenset(s for s in SCOPES if s in scopes)
    return named | {"read"} if named - {"ingest"} else named
