"""Lists page by page: the cursor names the last row given, so that rows that come or go move nothing."""

from __future__ import annotations

import base64
import binascii

import msgspec

from services.api import messages
from services.api.errors import unprocessable


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """``key`` is the last row's sort value, ``id`` what tells rows of the same value apart."""

    sort: str
    key: float
    id: str

    def written(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def read_cursor(text: str | None, sort: str) -> Cursor | None:
    """Raises ``ApiError`` 422 on a cursor that is not ours or belongs to another order."""
    if text is None:
        return None
    try:
        cursor = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
    except (binascii.Error, ValueError):
        raise unprocessable(messages.BAD_CURSOR) from None
    if cursor.sort != sort or not abs(cursor.key) < 1e15:
        raise unprocessable(messages.BAD_CURSOR)
    return cursor
