"""What the Kafka client says while a broker is away, once a minute instead of a hundred times a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY = 60.0


class Sparing(logging.Filter):
    """Lets each sentence of a logger through once in ``EVERY`` seconds, with how often it was meant (``repeated``)."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._last: dict[tuple[str, str], float] = {}
        self._held_back: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        sentence = (record.name, str(record.msg))
        now = self._now()
        last = self._last.get(sentence)
        if last is not None and now - last < EVERY:
            self._held_back[sentence] = self._held_back.get(sentence, 0) + 1
            return False
        self._last[sentence] = now
        if repeated := self._held_back.pop(sentence, 0):
            record.repeated = repeated
        return True


_sparing = Sparing()


def calm() -> None:
    """Make aiokafka's loggers sparing. May be repeated; filters do not reach down a logger tree, so each gets it."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith("aiokafka") and isinstance(logger, logging.Logger):
            logger.addFilter(_sparing)
