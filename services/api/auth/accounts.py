"""Users, API tokens and logins: what may be done with them, and who a credential belongs to.

Everything is answered from a copy in memory that follows the store every few seconds, so that what one replica
revokes the others refuse soon after. A credential that was verified once costs a dictionary look-up.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
from dataclasses import dataclass, replace
from typing import Any

import jwt

from services.api import messages
from services.api.auth.passwords import Passwords, generated
from services.api.auth.principal import ROLES, Principal, Role, scoped
from services.api.auth.records import HOST, ApiToken, User
from services.api.auth.vault import REVOKED, SIGNING_KEY, Contents, Vault
from services.api.errors import conflict, not_found, unauthorized
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

ADMIN = "admin"
USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_API_TOKEN = re.compile(r"lw_([0-9a-f]{16})_([0-9a-f]{48})", re.ASCII)
_MOST_VERIFIED = 10_000


@dataclass(frozen=True)
class Login:
    """``csrf`` must come back in X-CSRF-Token with writes that are authorised by cookie."""

    token: str
    expires_in: int
    csrf: str


class Accounts:
    def __init__(self, vault: Vault, passwords: Passwords, clock: Clock, *, token_ttl: float) -> None:
        self._vault = vault
        self._passwords = passwords
        self._clock = clock
        self._ttl_ms = round(token_ttl * 1000)
        self._contents = Contents({}, {}, {})
        self._stamp: tuple[int, ...] | None = None
        self._verified: dict[str, Principal] = {}
        self._writing = asyncio.Lock()

    # -- the copy ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Reads everything; makes the key that signs logins where there is none. Raises ``ApiError`` 503."""
        await self._vault.forget(self._clock.now_ms())
        await self.follow()
        if SIGNING_KEY not in self._contents.keys:
            # Two replicas may both do this: the higher version wins for both, once they read again.
            await self._vault.keep_key(SIGNING_KEY, secrets.token_hex(32), self._clock.now_ms())
            await self.follow()

    async def follow(self) -> None:
        """Reads again where somebody wrote. Raises ``ApiError`` 503."""
        stamp = await self._vault.stamp()
        if stamp != self._stamp:
            self._contents = await self._vault.read(self._clock.now_ms())
            self._stamp = stamp
            self._verified.clear()

    async def first_start(self, password: str | None) -> str | None:
        """Sees to it that there is an admin. Returns the password when it was made up here.

        A ``password`` that is given becomes the admin's, whatever it was before. Raises ``ApiError`` 503.
        """
        known = self._contents.users.get(ADMIN)
        if known is None:
            made_up = None if password else generated()
            await self.add_user(ADMIN, password or made_up or "", "admin")
            return made_up
        if password and not await self._passwords.matches(password, known.password_hash):
            await self.change_user(ADMIN, password=password)
            log.info("the admin's password was set anew from the settings")
        return None

    # -- users -------------------------------------------------------------------------------------------------------

    def users(self) -> list[User]:
        return list(self._contents.users.values())

    def user(self, name: str) -> User:
        """Raises ``ApiError`` 404."""
        if user := self._contents.users.get(name):
            return user
        raise not_found(messages.UNKNOWN_USER.of(name=name[:64]))

    async def add_user(self, name: str, password: str, role: Role) -> User:
        """Raises ``ApiError`` 409 when there is one."""
        password_hash = await self._passwords.hashed(password)
        async with self._writing:
            await self.follow()
            if name in self._contents.users:
                raise conflict(messages.USER_EXISTS.of(name=name))
            now = self._clock.now_ms()
            user = User(name, password_hash, role, False, now, now, now)
            await self._keep(user)
        return user

    async def change_user(
        self, name: str, *, password: str | None = None, role: Role | None = None, disabled: bool | None = None
    ) -> User:
        """A new password and disabling end the user's sessions. Raises ``ApiError`` 404, or 409 for the last admin."""
        self.user(name)
        password_hash = await self._passwords.hashed(password) if password is not None else None
        async with self._writing:
            await self.follow()
            user = self.user(name)
            changed = replace(
                user,
                password_hash=password_hash or user.password_hash,
                role=role or user.role,
                disabled=user.disabled if disabled is None else disabled,
            )
            if self._is_admin(user) and not self._is_admin(changed) and self._admins() == 1:
                raise conflict(messages.LAST_ADMIN.of(name=name))
            if password is not None or disabled:
                changed = replace(changed, sessions_valid_from=self._after(user))
            return await self._keep(replace(changed, version=self._version(user.version)))

    async def end_sessions(self, name: str) -> None:
        """All logins of a user become void. Raises ``ApiError`` 404."""
        async with self._writing:
            await self.follow()
            user = self.user(name)
            await self._keep(replace(user, sessions_valid_from=self._after(user), version=self._version(user.version)))

    async def _keep(self, user: User) -> User:
        await self._vault.keep_user(user)
        await self.follow()
        return user

    @staticmethod
    def _is_admin(user: User) -> bool:
        return user.role == "admin" and not user.disabled

    def _admins(self) -> int:
        return sum(self._is_admin(u) for u in self._contents.users.values())

    def _version(self, previous: int) -> int:
        return max(self._clock.now_ms(), previous + 1)

    def _after(self, user: User) -> int:
        """Later than every login there has been, even one of this very millisecond."""
        return max(self._clock.now_ms(), user.sessions_valid_from) + 1

    # -- API tokens --------------------------------------------------------------------------------------------------

    def tokens(self) -> list[ApiToken]:
        return list(self._contents.tokens.values())

    async def create_token(
        self, name: str, scopes: tuple[str, ...], created_by: str, expires_at: int | None, host_id: str | None = None
    ) -> tuple[ApiToken, str]:
        """The record, and the token itself, which is never to be had again. ``host_id``: whose events it may post."""
        if host_id:
            scopes = (*scopes, HOST + host_id)
        token_id, secret = secrets.token_hex(8), secrets.token_hex(24)
        now = self._clock.now_ms()
        token = ApiToken(token_id, name, _digest(secret), scopes, created_by, now, expires_at, False, now)
        async with self._writing:
            await self._vault.keep_token(token)
            await self.follow()
        return token, f"lw_{token_id}_{secret}"

    async def revoke_token(self, token_id: str) -> ApiToken:
        """Raises ``ApiError`` 404."""
        async with self._writing:
            await self.follow()
            token = self._contents.tokens.get(token_id)
            if token is None:
                raise not_found(messages.UNKNOWN_TOKEN.of(id=token_id[:64]))
            revoked = replace(token, revoked=True, version=self._version(token.version))
            await self._vault.keep_token(revoked)
            await self.follow()
        return revoked

    # -- logins ------------------------------------------------------------------------------------------------------

    async def login(self, name: str, password: str) -> Login:
        """Raises ``ApiError`` 401 with the same words, after the same time, for whatever was wrong."""
        user = self._contents.users.get(name)
        matches = await self._passwords.matches(password, user.password_hash if user else None)
        user = self._contents.users.get(name)
        if not matches or user is None or user.disabled:
            raise unauthorized(messages.LOGIN_FAILED)
        issued = max(self._clock.now_ms(), user.sessions_valid_from)
        session = secrets.token_hex(16)
        claims = {
            "sub": name,
            "jti": session,
            "iat": issued // 1000,
            "exp": -(-(issued + self._ttl_ms) // 1000),
            "issued_ms": issued,
        }
        token = jwt.encode(claims, self._key(), algorithm="HS256")
        return Login(token, self._ttl_ms // 1000, self.csrf(session))

    async def check_password(self, name: str, password: str) -> bool:
        return await self._passwords.matches(password, self.user(name).password_hash)

    async def logout(self, principal: Principal) -> None:
        """This login becomes void, on every replica."""
        if principal.session_id:
            await self._vault.keep_key(REVOKED + principal.session_id, str(principal.expires_ms), self._clock.now_ms())
            await self.follow()

    def csrf(self, session_id: str) -> str:
        return hmac.new(self._key().encode(), b"csrf:" + session_id.encode(), hashlib.sha256).hexdigest()

    def _key(self) -> str:
        return self._contents.keys[SIGNING_KEY]

    # -- whose is it? ------------------------------------------------------------------------------------------------

    def principal(self, credential: str) -> Principal | None:
        """Whose ``credential`` (a login or an API token) is; ``None`` when it is nobody's, or no longer."""
        principal = self._verified.get(credential)
        now = self._clock.now_ms()
        if principal is None:
            principal = self._api_token(credential) if credential.startswith("lw_") else self._session(credential)
            if principal is None:
                return None
            if len(self._verified) >= _MOST_VERIFIED:
                self._verified.clear()
            self._verified[credential] = principal
        return principal if principal.expires_ms > now else None

    def _api_token(self, credential: str) -> Principal | None:
        match = _API_TOKEN.fullmatch(credential)
        token = self._contents.tokens.get(match[1]) if match else None
        if match is None or token is None or token.revoked:
            return None
        if not hmac.compare_digest(token.secret_hash, _digest(match[2])):
            return None
        never = Principal.expires_ms
        return Principal(
            "token",
            token.token_id,
            scoped(token.scopes),
            expires_ms=never if token.expires_at is None else token.expires_at,
            host_id=token.host_id,
        )

    def _session(self, credential: str) -> Principal | None:
        claims = self._claims(credential)
        if claims is None:
            return None
        user = self._contents.users.get(claims["sub"])
        if user is None or user.disabled or claims["issued_ms"] < user.sessions_valid_from:
            return None
        if REVOKED + claims["jti"] in self._contents.keys:
            return None
        return Principal(
            "user", user.username, ROLES[user.role], user.role, claims["exp"] * 1000, session_id=claims["jti"]
        )

    def _claims(self, credential: str) -> dict[str, Any] | None:
        # The injected clock decides what has expired, not the library's.
        options: Any = {"verify_exp": False, "verify_iat": False, "require": ["sub", "jti", "exp", "iat"]}
        try:
            claims = jwt.decode(credential, self._key(), algorithms=["HS256"], options=options)
        except (jwt.InvalidTokenError, KeyError, ValueError):
            return None
        numbers = all(type(claims.get(n)) is int for n in ("exp", "issued_ms"))
        return claims if numbers else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
