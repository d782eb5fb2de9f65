"""Passwords in files, for nobody else to read."""

from __future__ import annotations

import os
from pathlib import Path


def write_secret(file: Path, secret: str) -> None:
    """``file`` holds it and nothing else, mode 0600 whatever it was before. Raises ``OSError``."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(secret + "\n")
