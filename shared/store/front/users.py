"""Who may come in: a writer and a reader, their passwords from the settings or generated once."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from shared.runtime.secret_file import write_secret
from shared.runtime.settings import Settings
from shared.store.front.asked import Credentials

WRITER = "lapwing"
READER = "reader"


@dataclass(frozen=True)
class Users:
    """``made`` names those whose password was generated just now, to be shown once."""

    passwords: dict[str, str] = field(repr=False)
    made: tuple[str, ...] = ()

    def user_of(self, given: Credentials | None) -> str | None:
        """The user's name, or None. Takes the same time for a wrong name as for a wrong password."""
        if given is None:
            return None
        known = self.passwords.get(given.user)
        same = hmac.compare_digest((known or secrets.token_hex(16)).encode(), given.password.encode())
        return given.user if known and same else None


def users_of(settings: Settings) -> Users:
    """Reads or makes ``<data directory>/store-<user>.password`` (mode 0600) where the settings name no password."""
    passwords, made = {}, []
    for user, secret in ((WRITER, settings.store.writer_password), (READER, settings.store.reader_password)):
        passwords[user], new = _password(secret, settings.data_dir / f"store-{user}.password")
        if new:
            made.append(user)
    return Users(passwords, tuple(made))


def _password(secret: SecretStr | None, file: Path) -> tuple[str, bool]:
    if secret is not None and secret.get_secret_value():
        return secret.get_secret_value(), False
    try:
        kept = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        kept = ""
    if kept:
        return kept, False
    password = secrets.token_urlsafe(18)
    write_secret(file, password)
    return password, True
