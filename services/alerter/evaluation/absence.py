"""Silent hosts, claimed only while we can hear: pure, with the time given.

A host is silent when nothing of it arrived for long enough *and* during all that time we were listening: connected and
caught up. After an outage of the broker, or of ours, every host gets its full time again.
"""

from __future__ import annotations


class Silence:
    """Seconds are the monotonic clock's."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._since: float | None = None
        self._until = 0.0

    def heard(self, host_id: str, now: float) -> None:
        """Something of this host arrived, however old it says it is: the host is there."""
        self._heard[host_id] = now

    def counts(self, host_id: str) -> bool:
        """Whether its silence is being counted."""
        return host_id in self._heard

    def forget(self, host_id: str) -> None:
        self._heard.pop(host_id, None)

    def listened(self, until: float) -> None:
        """Everything that was to be heard up to then has been heard."""
        self._since = until if self._since is None else self._since
        self._until = max(self._until, until)

    def deaf(self) -> None:
        """We cannot say what we are missing."""
        self._since = None

    def silent_for(self, host_id: str) -> float:
        """Seconds of silence that can be vouched for; 0 while we cannot hear."""
        if self._since is None or host_id not in self._heard:
            return 0.0
        return max(0.0, self._until - max(self._heard[host_id], self._since))

    def since_heard(self, host_id: str, now: float) -> float:
        return now - self._heard.get(host_id, now)
