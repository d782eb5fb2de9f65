from __future__ import annotations

import asyncio
import io

from services.supervise.relay import Relay, Voice


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_line_begins_with_who_says_it() -> None:
    err = io.StringIO()
    relay = Relay(["api", "ingest"], "text", io.StringIO(), err)
    relay.logged("api", "one")
    relay.logged("ingest", "two")
    assert err.getvalue() == "api    | one\ningest | two\n"


def test_names_have_colours_of_their_own_on_a_terminal() -> None:
    err = Terminal()
    relay = Relay(["api", "ingest"], "text", io.StringIO(), err)
    relay.logged("api", "one")
    relay.logged("ingest", "one")
    first, second = err.getvalue().splitlines()
    assert first.startswith("\033[") and "one" in first
    assert first.split("m")[0] != second.split("m")[0]


def test_json_stays_json() -> None:
    err = io.StringIO()
    Relay(["api"], "json", io.StringIO(), err).logged("api", '{"a": 1}')
    assert err.getvalue() == '{"a": 1}\n'


def test_what_is_for_a_person_comes_when_everything_is_up() -> None:
    out, err = io.StringIO(), io.StringIO()
    relay = Relay(["api"], "text", out, err)
    relay.said("api", "URL")
    assert out.getvalue() == ""
    relay.everything_is_up()
    assert out.getvalue() == "URL\n"
    relay.said("api", "again")
    assert (out.getvalue(), err.getvalue()) == ("URL\n", "api | again\n")


async def test_lines_longer_than_any_buffer_and_a_last_one_without_an_end_arrive_whole() -> None:
    err = io.StringIO()
    stream = asyncio.StreamReader()
    stream.feed_data(b"x" * 300_000 + b"\nlast \xff")
    stream.feed_eof()
    await Relay(["api"], "json", io.StringIO(), err).follow("api", stream, "logged")
    assert err.getvalue() == "x" * 300_000 + "\nlast \ufffd\n"


def test_the_supervisor_has_a_name_too() -> None:
    err = io.StringIO()
    Voice(Relay(["lapwing"], "text", io.StringIO(), err), "lapwing").write("a\nb\n")
    assert err.getvalue() == "lapwing | a\nlapwing | b\n"


class FullDisk(io.StringIO):
    full = True

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


async def test_a_log_that_cannot_be_written_keeps_no_service_waiting() -> None:
    err = FullDisk()
    relay = Relay(["api"], "text", io.StringIO(), err)
    stream = asyncio.StreamReader()
    following = asyncio.create_task(relay.follow("api", stream, "logged"))
    stream.feed_data(b"one\ntwo\n")
    while relay.lost < 2:
        await asyncio.sleep(0)
    err.full = False
    stream.feed_data(b"three\n")
    stream.feed_eof()
    await following
    assert err.getvalue().endswith("api | three\napi | (2 lines of log could not be written before this one)\n")
