"""Logs: one line an event, for eyes on a terminal and JSON for everything else.

``log.info("spool opened", extra={"bytes": 12})``: the message is a constant sentence, what varies goes to ``extra``.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
_COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31;1m", "DEBUG": "\033[2m"}
# What moves a terminal's cursor, rings its bell or ends a line somewhere: never written raw.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Libraries that narrate at INFO what only a debugger wants.
_QUIET = (
    "aiokafka",
    "faust",
    "mode",
    "httpx",
    "httpcore",
    "asyncio",
    "uvicorn",
    "kafka",
    "shared.bus.tuned_faust",
)
# What they warn of arrives as an error as well, and whoever gets that says it once and in better words.
_SILENT = ("clickhouse_connect", "urllib3")


def setup(level: str = "info", form: Literal["auto", "text", "json"] = "auto", stream: TextIO | None = None) -> None:
    """Send every log line of this process to ``stream`` (stderr), once."""
    stream = stream or sys.stderr
    text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(colours=stream.isatty()) if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.DEBUG if root.level == logging.DEBUG else logging.CRITICAL)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller passed as ``extra``."""
    return {k: v for k, v in vars(record).items() if k not in _STANDARD and not k.startswith("_")}


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        for name, value in fields(record).items():
            event[f"{name}_" if name in event else name] = _jsonable(value)
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(event, ensure_ascii=False))


class TextFormatter(logging.Formatter):
    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        where = record.name.removeprefix("services.").split(".")[0]
        pairs = " ".join(f"{_plain_line(k)}={_plain(v)}" for k, v in fields(record).items())
        line = f"{when} {record.levelname.lower():8}{where:9} {_plain_line(record.getMessage())}  {pairs}".rstrip()
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n".join([line, *map(_plain_line, trace)])
        colour = _COLOURS.get(record.levelname, "") if self._colours else ""
        return f"{colour}{line}\033[0m" if colour else line


def _plain_line(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\n", " ⏎ "))


def _plain(value: object) -> str:
    text = _plain_line(_text(value))
    return repr(text) if " " in text or not text else text


def _jsonable(value: object) -> Any:
    """``value`` if JSON can say it, else its text."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return _text(value)
    return value


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
