"""One line an event, whatever is in it, and nothing that plays with a terminal."""

from __future__ import annotations

import io
import json
import logging
import math
from typing import Any

import pytest

from shared.runtime.logs import setup

HOSTILE = "a\nb\r\x1b[31mred\x07\x00\x7f\x9b2J\u2028\u202eesrever\udcff 操作成功"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def log() -> logging.Logger:
    return logging.getLogger("services.agent.spool")


def as_json(level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    setup(level, "auto", stream)
    return stream


def only_line(stream: io.StringIO) -> dict[str, Any]:
    text = stream.getvalue()
    assert text.endswith("\n") and len(text.splitlines()) == 1, text
    line: dict[str, Any] = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    return line


def test_elsewhere_than_on_a_terminal_an_event_is_a_json_object(log: logging.Logger) -> None:
    stream = as_json()
    log.info("spool opened", extra={"bytes": 12, "path": "/srv", "labels": {"a": [1, None]}})
    line = only_line(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "services.agent.spool",
        "message": "spool opened",
        "bytes": 12,
        "path": "/srv",
        "labels": {"a": [1, None]},
    }


def test_an_exception_stays_in_the_one_line(log: logging.Logger) -> None:
    stream = as_json()
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("it failed")
    assert "Traceback" in only_line(stream)["exception"]
    assert "first\nsecond" in only_line(stream)["exception"]


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "value",
    [object(), b"\xff", {1, 2}, math.nan, math.inf, {(1, 2): 3}, Unspeakable(), CIRCLE, HOSTILE, 10**400],
)
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_any_value_can_be_logged(
    log: logging.Logger, value: object, stream: type[io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    out = stream()
    setup("info", "auto", out)
    log.info("odd", extra={"value": value})
    assert len(out.getvalue().splitlines()) == 1 and "odd" in out.getvalue() and "value" in out.getvalue()
    assert capsys.readouterr().err == "", "logging complained about its own line"
    if stream is io.StringIO:
        only_line(out)


def test_an_extra_field_cannot_pose_as_the_level_or_the_time(log: logging.Logger) -> None:
    stream = as_json()
    log.info("x", extra={"level": "critical", "ts": 0, "logger": "me", "exception": "none"})
    line = only_line(stream)
    assert (line["level"], line["level_"], line["ts_"], line["logger_"]) == ("info", "critical", 0, "me")


@pytest.mark.parametrize("form", ["text", "json"])
def test_control_characters_never_reach_a_terminal(log: logging.Logger, form: Any) -> None:
    stream = Terminal()
    setup("info", form, stream)
    log.info(HOSTILE, extra={"value": HOSTILE, "list": [HOSTILE], "key\x1b": 1})
    text = stream.getvalue()
    assert text.count("\n") == 1 and len(text.splitlines()) == 1
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in text[:-1])
    assert "\u202e" not in text and "\u2028" not in text
    assert "操作成功" in text
    text.encode()


def test_not_even_in_a_traceback(log: logging.Logger) -> None:
    stream = Terminal()
    setup("info", "text", stream)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("it failed")
    ours = stream.getvalue().replace("\033[31m", "", 1).replace("\033[0m", "", 1)
    assert "ValueError" in ours and "\x1b" not in ours and "\x9b" not in ours


def test_a_terminal_gets_a_short_readable_line(log: logging.Logger) -> None:
    stream = Terminal()
    setup("debug", "auto", stream)
    log.info("spool opened", extra={"bytes": 12, "path": "/a b", "empty": ""})
    assert stream.getvalue()[9:] == "info    agent     spool opened  bytes=12 path='/a b' empty=''\n"
    log.warning("careful")
    assert stream.getvalue().splitlines()[1].startswith("\033[33m")
    assert stream.getvalue().splitlines()[1].endswith("\033[0m")


def test_text_in_a_file_has_no_colours(log: logging.Logger) -> None:
    stream = io.StringIO()
    setup("info", "text", stream)
    log.error("careful")
    assert "\033" not in stream.getvalue()


def test_less_important_lines_are_left_out_and_libraries_keep_quiet(log: logging.Logger) -> None:
    stream = as_json("info")
    log.debug("x")
    logging.getLogger("aiokafka.consumer").info("x")
    logging.getLogger("faust").info("x")
    assert stream.getvalue() == ""
    logging.getLogger("faust").warning("y")
    assert only_line(stream)["message"] == "y"


def test_setting_up_twice_does_not_write_twice(log: logging.Logger) -> None:
    as_json()
    stream = as_json()
    log.info("once")
    only_line(stream)


def test_a_caller_with_wrong_arguments_does_not_take_the_process_down(log: logging.Logger) -> None:
    as_json()
    log.info("%d", "not a number")
