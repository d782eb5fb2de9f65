"""Answers that are not a success. Each knows its status and its sentence in both languages."""

from __future__ import annotations

from services.api import messages
from services.api.messages import Text


class ApiError(Exception):
    def __init__(self, status: int, text: Text, headers: dict[str, str] | None = None) -> None:
        super().__init__(text.en)
        self.status = status
        self.text = text
        self.headers = headers or {}


def unauthorized(text: Text = messages.UNAUTHORIZED) -> ApiError:
    return ApiError(401, text, {"WWW-Authenticate": "Bearer"})


def forbidden(text: Text) -> ApiError:
    return ApiError(403, text)


def not_found(text: Text) -> ApiError:
    return ApiError(404, text)


def conflict(text: Text) -> ApiError:
    return ApiError(409, text)


def unprocessable(text: Text) -> ApiError:
    return ApiError(422, text)


def bad_parameter(name: str, allowed: Text) -> ApiError:
    return unprocessable(messages.BAD_PARAMETER.of(name=name, allowed=allowed))


def too_many(text: Text, retry_after: int) -> ApiError:
    return ApiError(429, text, {"Retry-After": str(retry_after)})


def unavailable(text: Text = messages.STORE_AWAY, retry_after: int = 2) -> ApiError:
    return ApiError(503, text, {"Retry-After": str(retry_after)})
