"""The envelope, as bytes: ``{"success", "code", "message", "data"}``, without ``data`` on failure."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from services.api import messages
from services.api.errors import ApiError
from services.api.messages import Language, Text

JSON = "application/json"
ALERTMANAGER = "/api/v2/"

_encode = msgspec.json.Encoder().encode
_OK = {
    lang: b'{"success":true,"code":200,"message":' + _encode(messages.OK.say(lang)) + b',"data":'
    for lang in ("zh", "en")
}


def encoded(data: Any) -> bytes:
    """``data`` as JSON; NaN and infinities become null."""
    return _encode(data)


def ok(data: Any, language: Language) -> Response:
    return ok_bytes(encoded(data), language)


def ok_bytes(data: bytes, language: Language) -> Response:
    """``data`` is JSON already."""
    return Response(_OK[language] + data + b"}", media_type=JSON)


def failure(
    status: int, text: Text, language: Language, headers: dict[str, str] | None = None, *, path: str = ""
) -> Response:
    """As who asks under ``path`` expects it: Alertmanager's clients a JSON string, in English, others the envelope."""
    said: Any = {"success": False, "code": status, "message": text.say(language)}
    if path.startswith(ALERTMANAGER):
        said = text.en
        status = 400 if status == 422 else status  # of a status that Alertmanager never gives, amtool shows no sentence
    return Response(_encode(said), status_code=status, media_type=JSON, headers=headers)


def refusal(error: ApiError, language: Language, path: str) -> Response:
    return failure(error.status, error.text, language, error.headers, path=path)
