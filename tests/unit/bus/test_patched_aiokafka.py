"""An OffsetFetch answer that is an error must not be read as "nothing was ever committed"."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol.commit import OffsetCommitResponse_v3, OffsetFetchResponse_v1, OffsetFetchResponse_v3
from aiokafka.structs import TopicPartition

from shared.bus import patched_aiokafka

P = TopicPartition("lapwing.metrics.v1", 0)
COMMITTED = [("lapwing.metrics.v1", [(0, 42, "", 0)])]
LOADING, UNAVAILABLE, ELSEWHERE, FORBIDDEN = 14, 15, 16, 30


def coordinator(*answers: Any) -> GroupCoordinator:
    """A real one, whose broker says ``answers``, one after the other."""
    patched_aiokafka.apply()
    it = GroupCoordinator.__new__(GroupCoordinator)
    waiting = list(answers)
    it.looked_up = 0

    async def send(*_: Any, **__: Any) -> Any:
        return waiting.pop(0)

    async def known() -> None:
        if it.coordinator_id is None:
            it.looked_up += 1
            it.coordinator_id = 1

    def dead() -> None:
        it.coordinator_id = None

    it.group_id, it.coordinator_id, it._retry_backoff_ms = "lapwing-ingest", 1, 0
    it._client = SimpleNamespace(send=send)
    it.ensure_coordinator_known, it.coordinator_dead = known, dead
    return it


@pytest.mark.parametrize("code", [LOADING, UNAVAILABLE, ELSEWHERE])
async def test_a_coordinator_that_is_not_ready_is_asked_again(code: int) -> None:
    it = coordinator(OffsetFetchResponse_v3(0, [], code), OffsetFetchResponse_v3(0, COMMITTED, 0))
    found = await it.fetch_committed_offsets([P])
    assert found[P].offset == 42
    assert it.looked_up == (0 if code == LOADING else 1)


async def test_a_group_one_may_not_read_is_said_and_not_begun_anew() -> None:
    with pytest.raises(errors.GroupAuthorizationFailedError):
        await coordinator(OffsetFetchResponse_v3(0, [], FORBIDDEN)).fetch_committed_offsets([P])


async def test_a_group_that_never_committed_still_begins_anew() -> None:
    nothing = [("lapwing.metrics.v1", [(0, -1, "", 0)])]
    assert await coordinator(OffsetFetchResponse_v3(0, nothing, 0)).fetch_committed_offsets([P]) == {}


async def test_answers_without_such_an_error_are_left_alone() -> None:
    assert (await coordinator(OffsetFetchResponse_v1(COMMITTED)).fetch_committed_offsets([P]))[P].offset == 42
    commit = OffsetCommitResponse_v3(0, [("lapwing.metrics.v1", [(0, LOADING)])])
    assert await coordinator(commit)._send_req(object()) is commit
