"""Which topic is behind a name: one that was deleted and made anew has another id, however much is in it by now.

aiokafka asks for metadata as it was before Kafka 3; ids are in version 12 of the answer.
"""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO
from typing import Any

from aiokafka import errors
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_WORD, _TAGS = CompactString("utf-8"), ("tags", TaggedFields)


class _Uuid(AbstractType):  # type: ignore[misc]
    NONE = bytes(16)

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _Answer(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", _WORD), ("port", Int32), ("rack", _WORD), _TAGS)),
        ("cluster_id", _WORD),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _WORD),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _Question12(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _WORD), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_authorized_operations", Boolean),
        _TAGS,
    )


class _Question(Request[_Question12]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    def build(self, version: type[_Question12]) -> _Question12:
        return version([(_Uuid.NONE, topic, {}) for topic in self._topics], False, False, {})


async def topic_ids(client: Any, topics: Collection[str]) -> dict[str, bytes]:
    """By name, of those that are there; none from a broker that does not know of ids. ``client``: aiokafka's own, below
    a consumer. Raises ``errors.KafkaError`` where the broker does not answer.
    """
    node = client.get_random_node()
    if node is None or not topics:
        return {}
    try:
        answer = await client.send(node, _Question(topics))
    except (errors.IncompatibleBrokerVersion, NotImplementedError):
        return {}
    return {name: number for code, name, number, *_ in answer.topics if not code and number != _Uuid.NONE}
