"""What the agent says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.agent.self_state import SelfState
from shared.runtime.clock import ManualClock
from shared.schemas.sample import AgentState


@dataclass
class Waiting:
    spooled_events: int = 0
    spooled_bytes: int = 0
    dropped_by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        return sum(self.dropped_by_reason.values())


def test_reasons_are_named_once_something_was_dropped() -> None:
    waiting = Waiting(spooled_events=3)
    state = SelfState(ManualClock(), 1.0, waiting)
    assert "dropped" not in state(0.001, {})
    waiting.dropped_by_reason = {"too_old": 4, "pending": 1}
    said = AgentState.model_validate(state(0.001, {}))
    assert (said.dropped_events, said.dropped) == (5, {"too_old": 4, "pending": 1})
