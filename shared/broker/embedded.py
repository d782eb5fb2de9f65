"""A Kafka broker inside this process, for one machine and for tests: librdkafka's mock cluster, over loopback TCP.

It speaks the real protocol, so producers, groups, commits, headers and idempotence are the same code as on a cluster.
What it does not do, and what therefore must not be expected of the small mode:

- it keeps everything in memory and starts empty: messages, committed offsets and topics die with the process;
- it keeps about 5 MB a partition and cuts off the oldest above that, so a group that lags far skips ahead unwarned;
- one member a group: with two, joining is unreliable;
- no CreateTopics, no look-up of offsets by time, no retention by time, no compaction, no security.

Its listener is bound to 127.0.0.1 on a port of its own choosing.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from shared.bus import bell
from shared.schemas.topics import Topic

_PRODUCER = 0
_CONF_OK = 0
_DESTROY_FLAG_NO_CONSUMER_CLOSE = 0x8


class BrokerError(RuntimeError):
    """The embedded broker cannot be had; the message says why and what to do."""


class EmbeddedBroker:
    """Runs from construction until ``stop``: ``address`` is good at once, so that others can be built around it."""

    name = "broker"

    def __init__(self, topics: Sequence[Topic], *, partitions: int = 1) -> None:
        """Raises ``BrokerError`` where librdkafka is missing or too old."""
        self._lib = _librdkafka()
        self._handle: int | None = None
        self._cluster: int | None = None
        self.address = ""
        try:
            self._open()
            for topic in topics:
                self.create_topic(topic.name, partitions)
            self.address = bytes(self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster)).decode()
            bell.hang(self.address)
        except BaseException:
            self.close()
            raise

    def create_topic(self, name: str, partitions: int) -> None:
        """Raises ``BrokerError`` when there is one of that name already."""
        if self._lib.rd_kafka_mock_topic_create(self._running(), name.encode(), partitions, 1):
            raise BrokerError(f"the embedded broker refused to create the topic {name}")

    def interrupt(self) -> None:
        """Drop every connection and refuse new ones until ``resume``; what it holds is kept."""
        self._lib.rd_kafka_mock_broker_set_down(self._running(), 1)

    def resume(self) -> None:
        self._lib.rd_kafka_mock_broker_set_up(self._running(), 1)

    async def start(self) -> None:
        self._running()

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Forget everything. Safe to call twice."""
        bell.take_down(self.address)
        cluster, self._cluster = self._cluster, None
        handle, self._handle = self._handle, None
        if cluster:
            self._lib.rd_kafka_mock_cluster_destroy(cluster)
        if handle:
            self._lib.rd_kafka_destroy_flags(handle, _DESTROY_FLAG_NO_CONSUMER_CLOSE)

    def _running(self) -> int:
        """The cluster; librdkafka would crash the process on one that is gone."""
        if self._cluster is None:
            raise BrokerError("the embedded broker was stopped and does not start again: what it held is gone")
        return self._cluster

    def _open(self) -> None:
        reason = ctypes.create_string_buffer(512)
        conf = self._lib.rd_kafka_conf_new()
        for key, value in {"client.id": "lapwing-broker", "log_level": "0"}.items():
            if self._lib.rd_kafka_conf_set(conf, key.encode(), value.encode(), reason, len(reason)) != _CONF_OK:
                raise BrokerError(f"the embedded broker cannot be configured: {reason.value.decode()}")
        self._handle = self._lib.rd_kafka_new(_PRODUCER, conf, reason, len(reason))
        if not self._handle:
            raise BrokerError(f"the embedded broker cannot start: {reason.value.decode()}")
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._handle, 1)
        if not self._cluster:
            raise BrokerError("the embedded broker cannot listen on 127.0.0.1")
        self._lib.rd_kafka_mock_set_controller_id(self._cluster, 1)
        # A group has one member here, so there is nobody to wait for.
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)


@cache
def _librdkafka() -> ctypes.CDLL:
    """The librdkafka that confluent-kafka brings, or the system's."""
    try:
        import confluent_kafka
    except ImportError:
        raise BrokerError(
            "the embedded broker needs the package confluent-kafka; install it, or name a broker in "
            "LAPWING_KAFKA__BOOTSTRAP_SERVERS"
        ) from None
    beside = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    candidates = [str(p) for p in sorted(beside.glob("librdkafka*"))] + [ctypes.util.find_library("rdkafka")]
    for path in candidates:
        if path:
            try:
                return _declared(ctypes.CDLL(path))
            except (OSError, AttributeError):
                continue
    raise BrokerError(
        "no librdkafka with a mock cluster was found beside confluent-kafka; reinstall confluent-kafka, or name a "
        "broker in LAPWING_KAFKA__BOOTSTRAP_SERVERS"
    )


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Without these a pointer would be cut to an int. Raises ``AttributeError`` where a function is missing."""
    pointer, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", number, [pointer, text, text, text, size]),
        ("rd_kafka_new", pointer, [number, pointer, text, size]),
        ("rd_kafka_destroy_flags", None, [pointer, number]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_set_controller_id", number, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_topic_create", number, [pointer, text, number, number]),
        ("rd_kafka_mock_broker_set_down", number, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_up", number, [pointer, ctypes.c_int32]),
    ):
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib
