"""The bus on the Kafka protocol, by aiokafka: publisher, tail, admin. For consumer groups see ``shared.bus.stream``."""

from __future__ import annotations

from collections.abc import Sequence

from shared.bus.port import Admin, Publisher, Tail
from shared.bus.publishing import MAX_MESSAGE_BYTES, KafkaPublisher
from shared.bus.span import span
from shared.bus.tailing import UNKNOWN_LAG, KafkaTail
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import Topic

__all__ = ["MAX_MESSAGE_BYTES", "UNKNOWN_LAG", "admin", "publisher", "span", "tail"]


def publisher(settings: KafkaSettings, client_id: str, *, timeout: float = 10.0) -> Publisher:
    """See ``KafkaPublisher``."""
    return KafkaPublisher(settings, client_id, timeout)


def tail(settings: KafkaSettings, topics: Sequence[Topic], client_id: str, *, recent: int | None = None) -> Tail:
    """``recent``: start at the last so many messages of each partition (0: only what comes); ``None``: the first.

    Raises ``BusError`` (permanent) on settings that cannot work.
    """
    return KafkaTail(settings, topics, client_id, recent)


def admin(settings: KafkaSettings, *, timeout: float = 15.0) -> Admin:
    """``timeout``: most seconds a call takes. Raises ``BusError`` (permanent) on settings that cannot work."""
    from shared.bus.administration import KafkaAdmin  # an agent has no use for it, and it is large

    return KafkaAdmin(settings, timeout)
