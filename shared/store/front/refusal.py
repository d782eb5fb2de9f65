"""Errors as ClickHouse tells them: a code, a sentence, a status of HTTP."""

from __future__ import annotations

import re

BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
TIMEOUT = 159
READONLY = 164
TOO_MANY_QUERIES = 202
NO_ROOM = 243
TOO_LARGE = 307
DECOMPRESSION = 271
DENIED = 497
AUTHENTICATION = 516
UNKNOWN = 1002

_STATUS = {
    400: {6, 16, 26, 27, 32, 33, 36, 38, 41, 43, 47, 53, 62, 70, 72, 115, 117, 130, 131, 271, 349, 395, 456, 457, 469},
    401: {194},
    403: {164, 192, 193, 497, 516},
    404: {57, 60, 81, 46, 73},
    408: {159},
    413: {307},
    501: {48},
    503: {202},
}
_STATUS_OF = {code: status for status, codes in _STATUS.items() for code in codes}

_NAMES = {
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    TIMEOUT: "TIMEOUT_EXCEEDED",
    READONLY: "READONLY",
    TOO_MANY_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    NO_ROOM: "NOT_ENOUGH_SPACE",
    TOO_LARGE: "TOO_MANY_BYTES",
    DECOMPRESSION: "CANNOT_DECOMPRESS",
    DENIED: "ACCESS_DENIED",
    AUTHENTICATION: "AUTHENTICATION_FAILED",
    UNKNOWN: "UNKNOWN_EXCEPTION",
}


class Refused(Exception):
    """``str()`` is the body of the answer."""

    def __init__(self, code: int, sentence: str, *, status: int | None = None) -> None:
        name = f" ({_NAMES[code]})" if code in _NAMES else ""
        super().__init__(f"Code: {code}. DB::Exception: {sentence}.{name}" if code else sentence)
        self.code = code
        self.status = status or _STATUS_OF.get(code, 500)


class EngineRefused(Refused):
    """What the engine said, word for word but for the name of the only user it knows."""

    def __init__(self, error: BaseException) -> None:
        text = str(error)
        start = text.find("Code: ")
        found = re.match(r"Code: (\d+)", text[start:]) if start >= 0 else None
        code = int(found[1]) if found else UNKNOWN
        super().__init__(0, text[start:] if found else f"Code: {UNKNOWN}. DB::Exception: {text}")
        self.code = code
        self.status = _STATUS_OF.get(code, 500)
