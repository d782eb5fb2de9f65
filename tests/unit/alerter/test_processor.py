"""Recorded first, handed on afterwards, and nothing lost when the broker is away."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.alerter.evaluation.evaluator import Evaluator
from services.alerter.evaluation.hearing import Hearing
from services.alerter.evaluation.processor import Processor
from shared.bus.port import BusError, Message, Receipt
from shared.runtime.clock import ManualClock
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Anomaly, HostScore
from shared.schemas.base import Event
from shared.schemas.codec import encode, pack
from shared.schemas.control import Watched
from shared.schemas.topics import ALERTS, ANOMALIES, CONTROL, METRICS, Topic
from tests.unit.alerter.support import ANOMALY_RULE, DISK_RULE, SILENCE_RULE, disk, rules, sample
from tests.unit.alerter.test_absence import FakeEnds


class FakeBus:
    """Keeps what is published; ``away`` or refuses some keys."""

    def __init__(self) -> None:
        self.away = False
        self.refused: set[str] = set()
        self.values: list[tuple[str, str, bytes]] = []

    async def start(self) -> None: ...

    async def publish(
        self, topic: Topic, key: str, value: bytes | None, headers: Mapping[str, bytes] | None = None
    ) -> Receipt:
        if self.away or key in self.refused:
            raise BusError("the broker is away")
        self.values.append((topic.name, key, value or b""))
        return Receipt(topic.name, 0, len(self.values) - 1)

    async def stop(self) -> None: ...

    def alerts(self) -> list[Alert]:
        values = [value for topic, _, value in self.values if topic == ALERTS.name]
        return [Alert.model_validate_json(line) for value in values for line in value.splitlines()]


class Bench:
    def __init__(self, *texts: str) -> None:
        self.clock = ManualClock()
        self.bus = FakeBus()
        self._read = 0
        self.evaluator = Evaluator(rules(*texts), silent_after_ms=60_000)
        self.processor = Processor(self.evaluator, Hearing(FakeEnds()), self.bus, self.clock)
        self._offset = 0

    def message(self, *events: Event | bytes, topic: Topic = METRICS, key: str = "h1") -> Message:
        self._offset += 1
        value = pack([e if isinstance(e, bytes) else encode(e) for e in events])
        return Message(topic.name, 0, self._offset, key.encode(), value, self.clock.now_ms())

    def full(self, *hosts: str, percent: float = 99) -> list[Message]:
        self.clock.advance(1)
        return [
            self.message(sample(h, self.clock.now_ms(), disks=[disk("/", percent)]), key=h) for h in hosts or ("h1",)
        ]

    def recorded(self) -> list[str]:
        """On the topic, since this was last asked."""
        alerts = self.bus.alerts()
        new, self._read = alerts[self._read :], len(alerts)
        return [f"{a.host_id}:{a.state}" for a in new]


async def test_a_transition_is_recorded_under_its_host() -> None:
    bench = Bench(DISK_RULE)
    await bench.processor.handle(bench.full())
    assert [(topic, key) for topic, key, _ in bench.bus.values] == [("lapwing.alerts.v1", "h1")]
    assert bench.recorded() == ["h1:firing"]


async def test_what_is_not_recorded_is_kept_until_it_is() -> None:
    bench = Bench(DISK_RULE)
    bench.bus.away = True
    batch = bench.full()
    for _ in range(3):
        with pytest.raises(BusError):
            await bench.processor.handle(batch)
        bench.clock.advance(10)
    assert bench.recorded() == []
    # The broker is back, and the same batch comes again, because nobody acknowledged it.
    bench.bus.away = False
    await bench.processor.handle(batch)
    assert [(a.host_id, a.state) for a in bench.bus.alerts()] == [("h1", "firing")]
    assert bench.recorded() == ["h1:firing"]


async def test_what_the_broker_took_is_not_sent_again() -> None:
    bench = Bench(DISK_RULE)
    bench.bus.refused = {"h2"}
    batch = bench.full("h1", "h2", "h3")
    with pytest.raises(BusError):
        await bench.processor.handle(batch)
    assert bench.recorded() == ["h1:firing", "h3:firing"]
    bench.bus.refused = set()
    await bench.processor.handle(batch)
    assert sorted(a.host_id for a in bench.bus.alerts()) == ["h1", "h2", "h3"]
    bench.clock.advance(1)
    assert bench.recorded() == ["h2:firing"]


async def test_the_order_of_a_host_survives_an_outage() -> None:
    bench = Bench(DISK_RULE)
    bench.bus.away = True
    for percent in (99, 10, 99, 10):
        with pytest.raises(BusError):
            await bench.processor.handle(bench.full(percent=percent))
    bench.bus.away = False
    await bench.processor.tick()
    assert [a.state for a in bench.bus.alerts()] == ["firing", "resolved", "firing", "resolved"]


async def test_many_transitions_of_a_host_fit_into_messages() -> None:
    bench = Bench(DISK_RULE)
    bench.clock.advance(1)
    everything = [disk(f"/{'x' * 1000}{i}", 99) for i in range(600)]
    await bench.processor.handle([bench.message(sample("h1", bench.clock.now_ms(), disks=everything))])
    assert len(bench.bus.alerts()) == 600
    assert len(bench.bus.values) > 1
    assert all(len(value) < 512 << 10 for _, _, value in bench.bus.values)


async def test_a_storm_is_recorded_whole() -> None:
    bench = Bench(DISK_RULE)
    await bench.processor.handle(bench.full(*(f"h{i}" for i in range(3000))))
    assert len(bench.bus.alerts()) == 3000
    assert len(bench.recorded()) == 3000


async def test_garbage_costs_only_itself() -> None:
    bench = Bench(DISK_RULE)
    bench.clock.advance(1)
    good = encode(sample("h1", bench.clock.now_ms(), disks=[disk("/", 99)]))
    await bench.processor.handle(
        [
            bench.message(b"not json", b"{}", good, b"\xff\x00"),
            bench.message(b"[" * 100_000, topic=ANOMALIES),
            Message(METRICS.name, 0, 99, None, None, 0),
        ]
    )
    assert bench.recorded() == ["h1:firing"]
    assert bench.processor.bad_lines == 4


async def test_scores_and_anomalies_share_a_topic() -> None:
    bench = Bench(ANOMALY_RULE)
    now = bench.clock.now_ms()
    score = HostScore(event_id="s", ts=now, host_id="h1", host="web1", score=0.5)
    anomaly = Anomaly(
        event_id="a",
        ts=now,
        anomaly_id="a1",
        host_id="h1",
        host="web1",
        state="open",
        score=2,
        peak_score=2,
        started_at=now,
    )
    await bench.processor.handle([bench.message(score, anomaly, topic=ANOMALIES)])
    assert [a.rule for a in bench.bus.alerts()] == ["anomaly"]


async def test_ticks_record_too() -> None:
    bench = Bench(SILENCE_RULE, DISK_RULE)
    await bench.processor.handle(bench.full(percent=1))
    for _ in range(70):
        bench.clock.advance(1)
        bench.evaluator.silence.listened(bench.clock.monotonic())
        await bench.processor.tick()
    assert [(a.rule, a.state) for a in bench.bus.alerts()] == [("host_silent", "firing")]


async def test_our_own_events_are_no_reason_for_alerts() -> None:
    """The guard against loops: what the alerter writes is never something it judges."""
    bench = Bench(DISK_RULE, ANOMALY_RULE, SILENCE_RULE)
    await bench.processor.handle(bench.full())
    before = len(bench.bus.values)
    ours = [Message(topic, 0, 0, key.encode(), value, 0) for topic, key, value in bench.bus.values]
    await bench.processor.handle(ours)
    assert len(bench.bus.values) == before


async def test_hosts_that_would_be_missed_are_written_down() -> None:
    bench = Bench(DISK_RULE)
    await bench.processor.handle(bench.full("h1", "h2", percent=1))
    bench.bus.away = True
    with pytest.raises(BusError):
        await bench.processor.tick()
    bench.bus.away = False
    await bench.processor.tick()
    await bench.processor.tick()
    written = [(key, value) for topic, key, value in bench.bus.values if topic == CONTROL.name]
    assert [key for key, _ in written] == ["watched:h1", "watched:h2"]
    assert [Watched.model_validate_json(value).id for _, value in written] == ["h1", "h2"]


async def test_a_host_that_is_forgotten_is_written_off() -> None:
    bench = Bench(SILENCE_RULE)
    await bench.processor.handle(bench.full(percent=1))
    await bench.processor.tick()
    bench.clock.advance(8 * 86_400)
    await bench.processor.tick()
    assert [(key, value) for topic, key, value in bench.bus.values if topic == CONTROL.name][1:] == [
        ("watched:h1", b"")
    ]


async def test_what_lasts_is_said_again_before_the_topic_forgets_it() -> None:
    bench = Bench(DISK_RULE)
    await bench.processor.handle(bench.full("h1", "h2"))
    await bench.processor.handle(bench.full("h2", percent=1))
    await bench.processor.tick()
    fired, *_ = bench.bus.alerts()
    bench.bus.values.clear()
    for _ in range(49):
        bench.clock.advance(3600)
        await bench.processor.handle(bench.full("h1"))
        await bench.processor.tick()
    assert bench.bus.alerts() == [fired, fired]


async def test_other_rules_are_recorded_like_everything_else() -> None:
    bench = Bench(DISK_RULE)
    await bench.processor.handle(bench.full())
    bench.bus.away = True
    with pytest.raises(BusError):
        await bench.processor.decide(lambda now_ms, _: bench.evaluator.adopt(rules(SILENCE_RULE), now_ms))
    bench.bus.away = False
    await bench.processor.tick()
    assert [(a.state, a.reason) for a in bench.bus.alerts()][1:] == [("resolved", "its rule is gone")]
