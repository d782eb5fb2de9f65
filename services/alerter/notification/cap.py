"""How much a receiver may still be told: so many messages in any stretch of a length, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.alerter.routing.receiver import Cap


@dataclass(slots=True)
class Spent:
    """Of one receiver: notification id -> when it went out or was decided, epoch milliseconds."""

    at: dict[str, int] = field(default_factory=dict)

    def spend(self, notification_id: str, at: int) -> None:
        self.at[notification_id] = max(at, self.at.get(notification_id, 0))
        if len(self.at) > 4096:
            for old in sorted(self.at, key=self.at.__getitem__)[:1024]:
                del self.at[old]

    def give_back(self, notification_id: str) -> None:
        self.at.pop(notification_id, None)

    def free_at(self, cap: Cap, now: int) -> int:
        """When the next message may go; ``now`` or earlier: at once."""
        for name in [name for name, t in self.at.items() if t > now]:
            self.at[name] = now  # by a clock that is ahead of ours
        recent = sorted(t for t in self.at.values() if t > now - cap.per)
        return now if len(recent) < cap.messages else recent[-cap.messages] + cap.per
