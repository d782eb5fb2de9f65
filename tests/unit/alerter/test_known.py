"""What an evaluator is told of alerts when a host comes to it, within bounds."""

from __future__ import annotations

import pytest

from services.alerter.evaluation import known
from services.alerter.evaluation.known import LATELY_MS, SWEEP_EVERY, KnownAlerts
from tests.unit.alerter.support import alert

T0 = 1_800_000_000_000


def ids(known: KnownAlerts, host_id: str) -> list[str]:
    return sorted(a.alert_id for a in known.of(host_id))


def test_what_ended_long_before_the_newest_is_forgotten() -> None:
    it = KnownAlerts()
    it.add(alert("open", host_id="h1", ts=T0))
    for number in range(SWEEP_EVERY + 1):
        it.add(alert(f"e{number}", host_id="h1", state="resolved", ts=T0 + number * LATELY_MS))
    assert ids(it, "h1") == sorted([f"e{SWEEP_EVERY - 1}", f"e{SWEEP_EVERY}", "open"])
    assert sum(map(len, it._hosts.values())) == 3
    assert it.hosts() == ["h1"]


def test_beyond_so_many_the_oldest_ends_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_ENDED", 10)
    it = KnownAlerts()
    for number in range(SWEEP_EVERY + 1):
        it.add(alert(f"e{number}", host_id=f"h{number}", state="resolved", ts=T0 + number))
    assert list(it._hosts) == [f"h{n}" for n in range(SWEEP_EVERY - 9, SWEEP_EVERY + 1)]
