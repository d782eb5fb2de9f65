"""What one HTTP request asks for, as ClickHouse's protocol says it: pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from shared.store.front.refusal import BAD_ARGUMENTS, Refused

_TRANSPORT = {
    "add_http_cors_header",
    "buffer_size",
    "client_protocol_version",
    "close_session",
    "compress",
    "database",
    "decompress",
    "default_format",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "http_zlib_compression_level",
    "password",
    "query",
    "query_id",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "session_check",
    "session_id",
    "session_timeout",
    "user",
    "wait_end_of_query",
}
"""Parameters of the URL that are about the way, not settings of the query."""

_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")


@dataclass(frozen=True)
class Credentials:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Asked:
    """``query`` may go on in the body; ``form`` is the format an answer has where the query names none."""

    query: str
    database: str
    form: str
    settings: dict[str, str]
    parameters: dict[str, str]
    query_id: str
    compress: bool = False
    decompress: bool = False
    may_encode: bool = False
    revision: int = 0


def asked(query_string: bytes, headers: Mapping[str, str], extra: Mapping[str, str] | None = None) -> Asked:
    """``headers`` have lower-case names; ``extra`` are fields of a form in the body. Raises ``Refused``."""
    values = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)) | dict(extra or {})
    parameters = {name[6:]: value for name, value in values.items() if name.startswith("param_")}
    settings = {n: v for n, v in values.items() if n not in _TRANSPORT and not n.startswith("param_")}
    for name in settings:
        if not _SETTING.fullmatch(name):
            raise Refused(BAD_ARGUMENTS, f"{name[:60]!r} is no name of a setting")
    return Asked(
        query=values.get("query", ""),
        database=values.get("database") or headers.get("x-clickhouse-database", ""),
        form=values.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated",
        settings=settings,
        parameters=parameters,
        query_id=values.get("query_id", ""),
        compress=_yes(values.get("compress")),
        decompress=_yes(values.get("decompress")),
        may_encode=_yes(values.get("enable_http_compression")),
        revision=_number(values.get("client_protocol_version")),
    )


def credentials(query_string: bytes, headers: Mapping[str, str]) -> Credentials | None:
    """From ClickHouse's own headers, HTTP's, or the URL, in this order; None where there are none."""
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return Credentials(headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", ""))
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return Credentials("", "")
        return Credentials(user, password)
    values = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    if "user" in values or "password" in values:
        return Credentials(values.get("user", "default"), values.get("password", ""))
    return None


def _yes(value: str | None) -> bool:
    return value not in (None, "", "0", "false")


def _number(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdigit() else 0
