"""A host to alert about, rules in a line, and an evaluator with a clock of its own."""

from __future__ import annotations

import textwrap
from typing import Any

from services.alerter.evaluation.evaluator import Evaluator
from services.alerter.rules.book import parse
from services.alerter.rules.rule import Rule
from shared.runtime.clock import ManualClock
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Anomaly
from shared.schemas.sample import Cpu, Disk, HostSample, Memory

CPU_RULE = """
  - name: cpu_busy
    title: CPU is busy
    metric: cpu.percent
    above: 90
    leave: 75
    for: 30s
    keep_firing_for: 15s
"""

DISK_RULE = """
  - name: disk_full
    title: Disk is almost full
    metric: disk.percent
    above: 98
    leave: 95
    severity: critical
"""

SILENCE_RULE = """
  - name: host_silent
    title: Host is silent
    silent: true
    severity: critical
"""

ANOMALY_RULE = """
  - name: anomaly
    title: Unusual behaviour
    anomaly: {severity: warning}
    keep_firing_for: 15s
"""


def rules(*texts: str) -> tuple[Rule, ...]:
    return parse({"rules.yaml": "rules:\n" + "\n".join(textwrap.indent(textwrap.dedent(t), "  ") for t in texts)})


class Watch:
    """An evaluator, fed as the processor feeds it; ``alerts`` is everything it said."""

    def __init__(self, *texts: str, silent_after_s: float = 60, **options: Any) -> None:
        self.clock = ManualClock()
        self.evaluator = Evaluator(rules(*texts), silent_after_ms=round(silent_after_s * 1000), **options)
        self.alerts: list[Alert] = []

    def sample(self, host_id: str = "h1", *, late_s: float = 0.0, **sections: Any) -> list[Alert]:
        """A sample of now, or of ``late_s`` ago."""
        return self._said(
            self.evaluator.sample(
                sample(host_id, self.clock.now_ms() - round(late_s * 1000), **sections),
                self.clock.now_ms(),
                self.clock.monotonic(),
            )
        )

    def cpu(self, percent: float, seconds: int = 1, host_id: str = "h1") -> list[Alert]:
        """Samples once a second, each after a second has passed."""
        said = []
        for _ in range(seconds):
            self.clock.advance(1)
            said += self.sample(host_id, cpu=Cpu(count=1, percent=percent))
        return said

    def anomaly(self, state: str, *, anomaly_id: str = "a1", severity: str = "warning", **more: Any) -> list[Alert]:
        now = self.clock.now_ms()
        ts = more.pop("ts", now)
        event = Anomaly(
            event_id=f"{anomaly_id}:{ts}",
            ts=ts,
            anomaly_id=anomaly_id,
            host_id="h1",
            host="web1",
            state=state,
            severity=severity,
            score=2.0,
            peak_score=2.0,
            started_at=ts,
            **more,
        )
        return self._said(self.evaluator.anomaly(event, now, self.clock.monotonic()))

    def tick(self, seconds: float = 0.0, *, hears: bool = True) -> list[Alert]:
        """Time passes, a second at a time, the broker saying that nothing is left to read."""
        said = []
        while True:
            if hears:
                self.evaluator.silence.listened(self.clock.monotonic())
            else:
                self.evaluator.silence.deaf()
            said += self._said(self.evaluator.tick(self.clock.now_ms(), self.clock.monotonic()))
            if seconds <= 0:
                return said
            self.clock.advance(min(1.0, seconds))
            seconds -= 1

    def states(self, rule: str | None = None) -> list[str]:
        return [a.state for a in self.alerts if rule in (None, a.rule)]

    def _said(self, alerts: list[Alert]) -> list[Alert]:
        self.alerts += alerts
        return alerts


def sample(host_id: str, ts: int, host: str = "web1", **sections: Any) -> HostSample:
    return HostSample(event_id=f"{host_id}:{ts}", ts=ts, host_id=host_id, host=host, **sections)


def disk(mountpoint: str, percent: float, **more: Any) -> Disk:
    return Disk(
        device="/dev/sda1",
        mountpoint=mountpoint,
        fstype="ext4",
        total=1000,
        used=round(percent * 10),
        free=1000 - round(percent * 10),
        percent=percent,
        **more,
    )


def memory(percent: float) -> Memory:
    return Memory(total=1000, available=100, used=900, free=100, percent=percent)


def alert(
    alert_id: str = "a",
    *,
    state: str = "firing",
    rule: str = "cpu_busy",
    host_id: str = "h1",
    host: str = "web1",
    severity: str = "warning",
    condition: str = "metric",
    metric: str = "cpu.percent",
    started_at: int = 1_800_000_000_000,
    ts: int | None = None,
    **more: Any,
) -> Alert:
    """One transition."""
    before = {"pending": "inactive", "firing": "pending", "resolved": "firing", "inactive": "pending"}[state]
    labels = {"alertname": rule, "severity": severity, "host": host, "host_id": host_id, "condition": condition}
    defaults: dict[str, Any] = {
        "event_id": f"{alert_id}:{state}",
        "ts": ts or started_at + 30_000,
        "alert_id": alert_id,
        "fingerprint": "0123456789abcdef0123456789abcdef",
        "host_id": host_id,
        "host": host,
        "rule": rule,
        "state": state,
        "previous_state": before,
        "severity": severity,
        "labels": labels | ({"metric": metric} if condition == "metric" else {}) | more.pop("labels", {}),
        "annotations": {"summary": f"{rule} on {host}", "title": rule, "advice": "Look at it."},
        "value": 97.5,
        "threshold": 90.0,
        "started_at": started_at,
        "ended_at": started_at + 60_000 if state == "resolved" else None,
        "summary": f"{rule} on {host}",
    }
    return Alert(**(defaults | more))
