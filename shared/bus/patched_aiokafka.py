"""One fault of aiokafka 0.14, mended where consumer groups are used.

Since version 3 an OffsetFetch answer has an error of its own beside those of its partitions, and an answer with one
(the coordinator is still loading, or is another broker by now) names no partitions. aiokafka asks for version 3 and
looks at the partitions' errors only: the group then seems never to have committed anything, and begins again at the
earliest message. The repeats would be harmless to us, but hours of them are not.
"""

from __future__ import annotations

from typing import Any

from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator

API_KEY = 9  # OffsetFetch
_ELSEWHERE = (errors.NotCoordinatorForGroupError, errors.GroupCoordinatorNotAvailableError)


def raise_for_answer(coordinator: GroupCoordinator, answer: Any) -> None:
    """Raises the error an OffsetFetch answer has of its own. A retriable one makes aiokafka ask again, after looking
    for the coordinator where that is what is wrong. Every other answer is left alone.
    """
    code = getattr(answer, "error_code", 0) if getattr(answer, "API_KEY", None) == API_KEY else 0
    if not code:
        return
    error = errors.for_code(code)
    if error in _ELSEWHERE:
        coordinator.coordinator_dead()
    raise error(coordinator.group_id)


def apply() -> None:
    """May be called again."""
    send = GroupCoordinator._send_req
    if getattr(send, "mended", False):
        return

    async def checked(self: GroupCoordinator, request: Any) -> Any:
        answer = await send(self, request)
        raise_for_answer(self, answer)
        return answer

    checked.mended = True  # type: ignore[attr-defined]
    GroupCoordinator._send_req = checked
