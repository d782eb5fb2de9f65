"""What the broker has and the store has not yet: how far the journal may be trimmed. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from services.agent.spool import Position
from shared.bus.port import Receipt, Stored

MOST_BYTES = 2 << 20
"""The embedded broker keeps about 5 MB a partition and cuts off what is older without a word."""


class Message(NamedTuple):
    """``until``: its place in the journal, behind its last event."""

    receipt: Receipt
    until: Position
    size: int


class Underway:
    """``stored`` says of a message whether it is durable.

    Live messages overtake the backlog, whose place in the journal is before theirs; as a journal is trimmed from its
    beginning only, theirs waits until the backlog is stored as well.
    """

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._backlog: deque[Message] = deque()
        self._live: deque[Message] = deque()
        self._live_until: Position | None = None
        self._bytes = 0

    @property
    def full(self) -> bool:
        """More would not be safe with a broker that forgets."""
        return self._bytes >= MOST_BYTES

    def add(self, message: Message, *, live: bool) -> None:
        (self._live if live else self._backlog).append(message)
        self._bytes += message.size

    def settled(self, *, backlog_sent: bool) -> Position | None:
        """Up to where the journal is stored by now; ``None`` when that is no further than at the last call.

        ``backlog_sent``: nothing before the live messages is left to be sent.
        """
        until = self._take(self._backlog)
        self._live_until = self._take(self._live) or self._live_until
        if backlog_sent and not self._backlog and self._live_until is not None:
            # Live messages that became backlog are behind those that were stored before.
            until, self._live_until = max(until or self._live_until, self._live_until), None
        return until

    def passed_over(self) -> bool:
        """Whether a message is not stored although a later one of its partition is: the broker has cut it off unread,
        and nobody will ever store it. To be asked before ``settled``, which forgets the later ones.
        """
        waiting = [message.receipt for message in (*self._backlog, *self._live)]
        for messages in (self._backlog, self._live):
            if messages and not self._stored(first := messages[0].receipt):
                later = (r for r in waiting if r.partition == first.partition and r.offset > first.offset)
                if any(map(self._stored, later)):
                    return True
        return False

    def forget(self) -> None:
        """All that is in the journal is to be sent again: cheaper than to remember every hole."""
        self._backlog.clear()
        self._live.clear()
        self._live_until = None
        self._bytes = 0

    def interrupted(self, *, backlog_sent: bool) -> None:
        """Live messages stopped; what comes now is backlog. Where some was left, the live ones become part of it and
        are sent again.
        """
        if backlog_sent:
            self._backlog += self._live
        else:
            self._bytes -= sum(message.size for message in self._live)
            self._live_until = None
        self._live.clear()

    def _take(self, messages: deque[Message]) -> Position | None:
        until = None
        while messages and self._stored(messages[0].receipt):
            message = messages.popleft()
            self._bytes -= message.size
            until = message.until
        return until
