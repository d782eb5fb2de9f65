"""Passwords as argon2id hashes. Hashing takes tens of milliseconds and 64 MiB: few at a time, and off the loop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.api import messages
from services.api.errors import too_many

T = TypeVar("T")
SHORTEST, LONGEST = 8, 1024
_AT_ONCE = 2
_MOST_WAITING = 32


class Passwords:
    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobodys: str | None = None

    async def hashed(self, password: str) -> str:
        return await self._run(self._hasher.hash, password)

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Takes as long for ``None`` (nobody of that name) as for a wrong password."""
        return await self._run(self._verify, password, password_hash)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[..., T], *arguments: str | None) -> T:
        if self._waiting >= _MOST_WAITING:
            raise too_many(messages.BUSY, 5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        finally:
            self._waiting -= 1

    def _verify(self, password: str, password_hash: str | None) -> bool:
        if password_hash is None and self._nobodys is None:
            self._nobodys = self._hasher.hash(secrets.token_hex(16))
        try:
            return self._hasher.verify(password_hash or self._nobodys or "", password) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


def generated() -> str:
    """A password fit to be read from a terminal and typed: about 95 bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))
