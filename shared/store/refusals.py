"""What ClickHouse's errors mean to us: again, or never? And in one line without a stack."""

from __future__ import annotations

import re

from shared.store.port import DataRefused, StoreError

_TEMPORARY = {
    3: "UNEXPECTED_END_OF_FILE of the connection",
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    164: "READONLY",
    173: "CANNOT_ALLOCATE_MEMORY",
    198: "DNS_ERROR",
    201: "QUOTA_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    285: "TOO_FEW_LIVE_REPLICAS",
    319: "UNKNOWN_STATUS_OF_INSERT",
    394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR",
    439: "CANNOT_SCHEDULE_TASK",
    473: "DEADLOCK_AVOIDED",
    574: "KEEPER_EXCEPTION",
    999: "KEEPER_EXCEPTION",
    74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    76: "CANNOT_OPEN_FILE",
}
"""Errors of a world that may mend. All other codes are about the statement or its data."""

_DATA = {
    6: "CANNOT_PARSE_TEXT",
    25: "CANNOT_PARSE_ESCAPE_SEQUENCE",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    130: "CANNOT_READ_ARRAY_FROM_TEXT",
    131: "TOO_LARGE_STRING_SIZE",
    306: "TOO_DEEP_RECURSION",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    407: "DECIMAL_OVERFLOW",
    467: "CANNOT_PARSE_BOOL",
    469: "VIOLATED_CONSTRAINT",
}
"""What the data alone can bring about."""

_UNKNOWN_DATABASE = 81
_AUTHENTICATION = {192, 193, 194, 516}


class NoDatabase(StoreError):
    """The server is there, the database is not."""

    no_database = True


def refusal(error: Exception, where: str) -> StoreError:
    """``error`` of the client as ours; ``where`` names the store, without secrets."""
    if isinstance(error, StoreError):
        return error
    text = str(error)
    if "initializing EmbeddedServer" in text:
        # The engine tells its reason to stderr only; nearly always somebody else holds the directory.
        return StoreError(
            f"the embedded database ({where}) cannot be opened: another process has it open, or it cannot be written "
            "to; stop the other one or set LAPWING_DATA_DIR to another directory",
            permanent=True,
        )
    if "Unable to open the chdb engine" in text and "different path" in text.lower():
        return StoreError(
            f"this process has an embedded database open in another directory than {where}: one a process",
            permanent=True,
        )
    code = getattr(error, "code", None) or _code(text)
    if code == _UNKNOWN_DATABASE:
        return NoDatabase(f"the database is missing: {short(text)}", permanent=True)
    if code in _AUTHENTICATION:
        return StoreError(
            f"ClickHouse at {where} refuses this user or password; check LAPWING_CLICKHOUSE__DSN", permanent=True
        )
    if code is None and (why := _certificate(text)):
        return StoreError(f"ClickHouse at {where} is not trusted: {why}", permanent=True)
    if code is None and _is_stranger(text):
        return StoreError(
            f"what answers at {where} is not ClickHouse's HTTP interface; check LAPWING_CLICKHOUSE__DSN", permanent=True
        )
    if code is None:
        return StoreError(f"ClickHouse at {where} cannot be reached: {short(text)}", permanent=_is_ours(error))
    if code in _DATA:
        return DataRefused(short(text))
    return StoreError(short(text), permanent=code not in _TEMPORARY)


def _certificate(text: str) -> str | None:
    """What is wrong with the certificate or with the talk of TLS, and what to do; None where it is something else."""
    if "certificate has expired" in text:
        return "its certificate has expired; it must be renewed there"
    if "certificate is not yet valid" in text:
        return "its certificate is not valid yet; are the clocks right?"
    if "doesn't match" in text or "Hostname mismatch" in text or "IP address mismatch" in text:
        return "its certificate is for another name; name the host in LAPWING_CLICKHOUSE__DSN as the certificate does"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "nobody we know vouches for its certificate; name its CA's file in LAPWING_CLICKHOUSE__SSL_CAFILE"
    if "WRONG_VERSION_NUMBER" in text or "wrong version number" in text:
        return "it does not speak TLS; `http://` instead of `https://` in LAPWING_CLICKHOUSE__DSN?"
    return None


def _is_stranger(text: str) -> bool:
    """It answered, but not as ClickHouse does. A gateway's 5xx is not meant: ClickHouse may be behind it again soon."""
    return bool(
        re.search(
            r"BadStatusLine|Unexpected response to server version query|received HTTP status (?:30\d|404|405|410|501)",
            text,
        )
    )


def _is_ours(error: Exception) -> bool:
    """Refused by the client before anything was sent."""
    return isinstance(error, TypeError | ValueError | LookupError | AttributeError) or type(error).__name__ in (
        "ProgrammingError",
        "DataError",
        "NotSupportedError",
    )


def short(text: str) -> str:
    """The sentence of a ClickHouse error: no prefix, no version, no stack, one line, at most 400 characters."""
    text = text.partition("Stack trace:")[0]
    if "DB::Exception:" in text:
        text = text.split("DB::Exception:", 1)[1]
    text = re.sub(r"\(for url [^)]*\)", "", text)
    text = re.sub(r": \(in file/uri [^)]*\)|: While executing .*$", "", text)
    text = re.sub(r"\(version [^()]*(\([^()]*\))?[^()]*\)", "", text)
    text = re.sub(r"\s+", " ", text).strip(" .")
    return text if len(text) <= 400 else text[:397] + "..."


def _code(text: str) -> int | None:
    found = re.search(r"\bCode: (\d+)", text)
    return int(found[1]) if found else None
