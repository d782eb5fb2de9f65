"""The newest word on every alert of late, by host: what an evaluator takes up when a host comes to it. Pure."""

from __future__ import annotations

from shared.schemas.alert import Alert

LATELY_MS = 3_600_000
MOST_ENDED = 50_000
SWEEP_EVERY = 1000


class KnownAlerts:
    """Filled with events in the order of each host; the same events may come again."""

    def __init__(self) -> None:
        self._hosts: dict[str, dict[str, Alert]] = {}
        self._ended = 0
        self._sweep_beyond = SWEEP_EVERY

    def add(self, alert: Alert) -> None:
        ours = self._hosts.setdefault(alert.host_id, {})
        known = ours.get(alert.alert_id)
        if known is not None and alert.ts < known.ts:
            return
        self._ended += _ended(alert) - (known is not None and _ended(known))
        ours[alert.alert_id] = alert
        if self._ended > self._sweep_beyond:
            self._forget_old_ends()

    def of(self, host_id: str) -> list[Alert]:
        """The newest event of each alert that is open, and of those that ended within an hour of the newest."""
        ours = self._hosts.get(host_id, {}).values()
        newest = max((a.ts for a in ours), default=0)
        return [a for a in ours if not _ended(a) or newest - a.ts <= LATELY_MS]

    def hosts(self) -> list[str]:
        """Those with an open alert."""
        return [h for h, ours in self._hosts.items() if any(not _ended(a) for a in ours.values())]

    def _forget_old_ends(self) -> None:
        """Those that ``of`` no longer tells, and beyond ``MOST_ENDED`` the oldest."""
        for host_id in list(self._hosts):
            self._hosts[host_id] = {a.alert_id: a for a in self.of(host_id)}
        ended = sorted(
            (a.ts, a.host_id, a.alert_id) for ours in self._hosts.values() for a in ours.values() if _ended(a)
        )
        for _, host_id, alert_id in ended[:-MOST_ENDED]:
            del self._hosts[host_id][alert_id]
        self._hosts = {host_id: ours for host_id, ours in self._hosts.items() if ours}
        self._ended = min(len(ended), MOST_ENDED)
        self._sweep_beyond = self._ended + max(SWEEP_EVERY, self._ended)


def _ended(alert: Alert) -> bool:
    return alert.state in ("resolved", "inactive")
