"""What is asked of a broker that knows of ids, and of one that does not."""

from __future__ import annotations

from io import BytesIO

from aiokafka import errors

from shared.bus.topic_ids import _Answer, topic_ids

ID = bytes(range(16))


class Client:
    """Knows one broker, that understands metadata up to ``newest``."""

    def __init__(self, newest: int, topics: list[tuple[int, str, bytes]]) -> None:
        self._newest = newest
        self._topics = topics

    def get_random_node(self) -> int:
        return 1

    async def send(self, node: int, question: object) -> _Answer:
        asked = question.prepare({3: (0, self._newest)})  # type: ignore[attr-defined]
        assert asked.encode()
        rows = [(code, name, number, False, [], 0, {}) for code, name, number in self._topics]
        answer = _Answer(0, [(1, "localhost", 9092, None, {})], "cluster", 1, rows, {})
        decoded: _Answer = _Answer.decode(BytesIO(answer.encode()))
        return decoded


async def test_the_id_is_told_of_what_is_there() -> None:
    client = Client(13, [(0, "a", ID), (errors.UnknownTopicOrPartitionError.errno, "gone", bytes(16))])
    assert await topic_ids(client, {"a", "gone"}) == {"a": ID}


async def test_a_broker_that_is_older_than_ids_tells_none() -> None:
    assert await topic_ids(Client(11, [(0, "a", ID)]), {"a"}) == {}


async def test_a_topic_of_a_cluster_that_gives_no_ids_has_none() -> None:
    assert await topic_ids(Client(12, [(0, "a", bytes(16))]), {"a"}) == {}
