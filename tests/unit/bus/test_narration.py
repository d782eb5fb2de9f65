from __future__ import annotations

import logging

from shared.bus.narration import EVERY, Sparing


def record(level: int, message: str, *args: object, name: str = "aiokafka.client") -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, message, args, None)


def test_a_sentence_is_said_once_a_minute_with_how_often_it_was_meant() -> None:
    now = 0.0
    sparing = Sparing(lambda: now)
    said = []
    for tick in range(1300):  # ten a second
        now = tick / 10
        line = record(logging.ERROR, "Unable connect to node with id %s", tick)
        if sparing.filter(line):
            said.append((now, getattr(line, "repeated", 0)))
    assert said == [(0.0, 0), (EVERY, 599), (2 * EVERY, 599)]


def test_different_sentences_and_loggers_are_told_apart() -> None:
    sparing = Sparing(lambda: 0.0)
    assert sparing.filter(record(logging.ERROR, "one"))
    assert sparing.filter(record(logging.ERROR, "two"))
    assert sparing.filter(record(logging.ERROR, "one", name="aiokafka.conn"))
    assert not sparing.filter(record(logging.ERROR, "one"))


def test_what_is_no_complaint_is_let_through() -> None:
    sparing = Sparing(lambda: 0.0)
    assert all(sparing.filter(record(logging.INFO, "joined")) for _ in range(3))
