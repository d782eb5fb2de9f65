"""What several processes say, on one terminal: each line with the name of who said it."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Literal, TextIO

_COLOURS = ("36", "35", "34", "32", "33", "96", "95", "94")
_LONGEST = 1 << 20


class Relay:
    """``form``: ``text`` puts the name before each line; ``json`` passes lines on as they are, since each names its
    logger, and a name before it would make it something else than JSON.
    """

    def __init__(
        self, names: list[str], form: Literal["text", "json"], out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        width = max(map(len, names))
        coloured = self._err.isatty()
        self._prefixes = {
            name: f"\033[{_COLOURS[i % len(_COLOURS)]}m{name:<{width}} |\033[0m " if coloured else f"{name:<{width}} | "
            for i, name in enumerate(names)
        }
        self._form = form
        self._held: list[str] | None = []
        self.lost = 0

    def logged(self, name: str, line: str) -> None:
        try:
            self._err.write(f"{self._prefixes[name] if self._form == 'text' else ''}{line}\n")
            self._err.flush()
        except OSError:
            # A log on a full disk, or a terminal that is gone: a service whose lines nobody takes would stand still.
            self.lost += 1
            return
        if self.lost:
            lost, self.lost = self.lost, 0
            self.logged(name, f"({lost} lines of log could not be written before this one)")

    def said(self, name: str, line: str) -> None:
        """What is meant for a person: kept until everything is up, so that it is the last thing to read then."""
        if self._held is not None:
            self._held.append(line)
        elif line.strip():
            self.logged(name, line)

    def everything_is_up(self) -> None:
        held, self._held = self._held or [], None
        self._out.write("".join(f"{line}\n" for line in held))
        self._out.flush()

    async def follow(self, name: str, stream: asyncio.StreamReader, kind: Literal["said", "logged"]) -> None:
        """Returns at the end of ``stream``."""
        say = self.said if kind == "said" else self.logged
        rest = b""
        while chunk := await stream.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST:
                lines, rest = [*lines, rest], b""
            for line in lines:
                say(name, line.decode("utf-8", "replace").rstrip("\r"))
        if rest:
            say(name, rest.decode("utf-8", "replace"))


class Voice(io.StringIO):
    """The supervisor's own log, as one of the names: a stream that keeps nothing."""

    def __init__(self, relay: Relay, name: str) -> None:
        super().__init__()
        self._relay = relay
        self._name = name

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._relay.logged(self._name, line)
        return len(text)
