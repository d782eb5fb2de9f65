"""Which hosts are looked at: they come, are given away and come back, and when there is no room the silent ones go.

Pure, with the time given: seconds are the monotonic clock's.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from services.alerter.evaluation.absence import Silence
from services.alerter.evaluation.host import Host
from services.alerter.evaluation.state import Reason, end
from services.alerter.evaluation.stepping import Stepper
from shared.runtime.selfmetrics import ALERTER_HOSTS_FORGOTTEN, ALERTER_UNWATCHED
from shared.schemas.alert import Alert

log = logging.getLogger(__name__)

PARKED_S = 300.0
SPEAKS_S = 300.0
"""Who was heard within that time makes no room: hosts in turns would forget each other before anything lasts."""

SAID_EVERY_S = 3600.0


class Hosts:
    """At most ``most``. A host that comes when all of them speak is turned away, aloud."""

    def __init__(self, most: int, silence: Silence, stepper: Stepper) -> None:
        self._most = most
        self._silence = silence
        self._stepper = stepper
        self._here: OrderedDict[str, Host] = OrderedDict()
        """The longest silent first."""
        self._parked: dict[str, tuple[float, Host]] = {}
        """Hosts that were ours a moment ago, since when not: while a group forms anew, nobody has any."""
        self._said_at: float | None = None

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[Host]:
        return iter(list(self._here.values()))

    def get(self, host_id: str) -> Host | None:
        return self._here.get(host_id)

    @property
    def full(self) -> bool:
        return len(self._here) >= self._most

    def place(self, host_id: str, alerts: Iterable[Alert], now_ms: int, now: float) -> tuple[Host | None, list[Alert]]:
        """The host, as it was if it comes back; the ends of the alerts of one that was forgotten for it. ``None``
        where there is no room. ``alerts``: the newest that is known of it.
        """
        host = self._here.get(host_id)
        ends: list[Alert] = []
        if host is None:
            if self.full:
                if not self._may_go(longest := next(iter(self._here)), now):
                    self._turn_away(now)
                    return None, []
                ends = list(self.forget(longest, now_ms))
                ALERTER_HOSTS_FORGOTTEN.add()
            host = self._here[host_id] = self._back(host_id, alerts, now)
        return host, ends

    def heard(self, host: Host, now: float) -> None:
        self._here.move_to_end(host.host_id)
        self._silence.heard(host.host_id, now)

    def missed(self, host: Host, now: float) -> None:
        """Others say that it is there: until it speaks itself, it is the first to make room."""
        self._here.move_to_end(host.host_id, last=False)
        self._silence.heard(host.host_id, now)

    def give_away(self, host_id: str, now: float) -> None:
        """It is somebody else's: nothing of it ends."""
        host = self._here.pop(host_id, None)
        if host is not None:
            self._stepper.open -= len(host.episodes)
            self._silence.forget(host_id)
            self._parked[host_id] = now, host

    def forget(self, host_id: str, now_ms: int) -> Iterator[Alert]:
        """The ends of its alerts."""
        host = self._here.pop(host_id)
        self._silence.forget(host_id)
        yield from self.end_all(host, Reason.FORGOTTEN, now_ms)

    def end_all(self, host: Host, reason: Reason, now_ms: int) -> Iterator[Alert]:
        for key, episode in list(host.episodes.items()):
            yield self._stepper.end(host, key, end(episode, reason, now_ms))

    def forget_parked(self, now: float | None = None) -> None:
        """Those that were given away too long ago, or all of them."""
        while self._parked:
            host_id, (since, _) = next(iter(self._parked.items()))
            if now is not None and now - since < PARKED_S:
                return
            del self._parked[host_id]

    def _may_go(self, host_id: str, now: float) -> bool:
        host = self._here[host_id]
        unknown = not host.samples.since and not host.episodes
        return unknown or self._silence.since_heard(host_id, now) >= SPEAKS_S

    def _turn_away(self, now: float) -> None:
        ALERTER_UNWATCHED.add()
        if self._said_at is None or now - self._said_at >= SAID_EVERY_S:
            self._said_at = now
            log.error(
                "a host is not watched: there is no room beside those that speak",
                extra={"set": "LAPWING_ALERTER__MAX_HOSTS", "max_hosts": self._most},
            )

    def _back(self, host_id: str, alerts: Iterable[Alert], now: float) -> Host:
        """The host as it was when it was given away, but for alerts of which somebody said something since."""
        since, host = self._parked.pop(host_id, (0.0, None))
        if host is None or now - since >= PARKED_S:
            return Host(host_id)
        said = {a.event_id for a in alerts}
        for key in [k for k, told in host.told.items() if told.event_id not in said]:
            for memory in (host.episodes, host.told, host.badness, host.open_anomalies):
                memory.pop(key, None)
        self._stepper.open += len(host.episodes)
        return host
