"""Hosts whose silence would be missed: known after a restart, by whoever has their partition, and to nobody else."""

from __future__ import annotations

from typing import Any

from services.alerter.evaluation.roster import SAID_EVERY_S, Roster
from shared.schemas.control import Watched, key_of
from shared.schemas.sample import Cpu
from tests.unit.alerter.support import ANOMALY_RULE, CPU_RULE, SILENCE_RULE, Watch, sample

NOW = 1_800_000_000_000


def watched(host_id: str = "h1", host: str = "web1", **labels: str) -> Watched:
    return Watched(event_id=f"watched:{host_id}:{NOW}", ts=NOW, id=host_id, host=host, labels=labels)


def tell(watch: Watch, host_id: str, event: Watched | None) -> list[str]:
    now_ms, now = watch.clock.now_ms(), watch.clock.monotonic()
    return [f"{a.rule}:{a.state}" for a in watch._said(watch.evaluator.watched(host_id, event, now_ms, now))]


def said(watch: Watch) -> list[tuple[str, Watched | None]]:
    return watch.evaluator.roster(watch.clock.monotonic())


def test_a_host_that_speaks_is_written_down_once() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(1, 5)
    ((key, event),) = said(watch)
    assert event is not None and key == key_of(event) == "watched:h1"
    assert (event.host, event.labels) == ("web1", {})
    watch.cpu(1, 5)
    assert said(watch) == []
    assert tell(watch, "h1", event) == []
    watch.cpu(1, 5)
    assert said(watch) == []


def test_a_host_that_is_known_already_is_not_written_again_unless_it_changed() -> None:
    watch = Watch(CPU_RULE)
    tell(watch, "h1", watched(env="prod"))
    watch.clock.advance(1)
    watch.sample("h1", labels={"env": "prod"})
    assert said(watch) == []
    watch.clock.advance(1)
    watch.sample("h1", labels={"env": "test"})
    assert [e.labels for _, e in said(watch) if e] == [{"env": "test"}]


def test_a_name_that_flips_is_not_written_all_the_time() -> None:
    roster = Roster(10)
    written = 0
    for n in range(1000):
        roster.present("h1", f"web{n % 2}", {}, NOW + n)
        written += len(roster.take(float(n)))
    assert written <= 1000 / SAID_EVERY_S + 2


def test_a_host_that_never_speaks_again_after_a_restart_is_missed() -> None:
    watch = Watch(SILENCE_RULE)
    assert tell(watch, "h1", watched(env="prod")) == []
    assert watch.tick(59) == []
    (fired,) = watch.tick(2)
    assert (fired.host_id, fired.host, fired.labels["env"], fired.state) == ("h1", "web1", "prod", "firing")


def test_a_host_of_which_only_an_anomaly_was_heard_is_missed_too() -> None:
    watch = Watch(SILENCE_RULE, ANOMALY_RULE)
    watch.anomaly("close")  # what was left to read, before anybody said whom to miss
    tell(watch, "h1", watched(env="prod"))
    assert watch.tick(59) == []
    (fired,) = watch.tick(2)
    assert (fired.host_id, fired.rule, fired.labels["env"]) == ("h1", "host_silent", "prod")


def test_only_who_has_its_partition_misses_it() -> None:
    ours: set[str] = set()
    watch = Watch(SILENCE_RULE, ours=ours.__contains__)
    tell(watch, "h1", watched("h1"))
    assert watch.evaluator.hosts == 0
    assert watch.tick(100) == []
    ours.add("h1")  # partitions came
    watch._said(watch.evaluator.reassigned(watch.clock.now_ms(), watch.clock.monotonic()))
    assert watch.tick(59) == []  # and with them its full time
    assert [a.host_id for a in watch.tick(2)] == ["h1"]


def test_a_host_that_spoke_here_is_not_claimed_once_it_is_anothers() -> None:
    ours = {"h1"}
    watch = Watch(SILENCE_RULE, ours=ours.__contains__)
    watch.sample("h1")
    ours.clear()
    assert watch.tick(100) == []
    assert watch.evaluator.reassigned(watch.clock.now_ms(), watch.clock.monotonic()) == []
    assert watch.evaluator.hosts == 0


def test_a_host_that_is_retired_is_not_missed_any_more() -> None:
    watch = Watch(SILENCE_RULE)
    tell(watch, "h1", watched())
    watch.tick(61)
    assert tell(watch, "h1", None) == ["host_silent:resolved"]
    assert watch.alerts[-1].reason == "the host was forgotten after a long silence"
    assert watch.evaluator.hosts == 0
    assert watch.tick(200) == []


def test_a_host_that_is_retired_and_speaks_is_written_down_again() -> None:
    watch = Watch(SILENCE_RULE, CPU_RULE)
    watch.cpu(99, 40)
    ((_, event),) = said(watch)
    tell(watch, "h1", event)
    assert tell(watch, "h1", None) == []
    assert [key for key, e in said(watch) if e] == ["watched:h1"]
    assert watch.evaluator.open == 1


def test_a_host_that_is_silent_for_a_week_is_forgotten_on_the_topic_too() -> None:
    watch = Watch(SILENCE_RULE)
    tell(watch, "h1", watched())
    watch.tick(61)
    watch.clock.advance(8 * 86_400)
    watch.tick()
    assert said(watch) == [("watched:h1", None)]
    assert said(watch) == []


def test_more_hosts_than_there_is_room_for_do_not_write_each_other_off() -> None:
    watch = Watch(SILENCE_RULE, max_hosts=3)
    written: list[Any] = []
    for n in range(60):
        watch.clock.advance(1)
        watch.sample(f"h{n % 6}")
        written += said(watch)
    assert sorted(key for key, _ in written) == [f"watched:h{n}" for n in range(3)]
    assert all(event for _, event in written)


def test_who_speaks_takes_the_place_of_who_is_only_said_to_be_there() -> None:
    watch = Watch(SILENCE_RULE, max_hosts=2)
    for name in ("h1", "h2"):
        tell(watch, name, watched(name))
    for name in ("h3", "h4", "h3", "h5"):
        watch.sample(name)
    assert [host.host_id for host in watch.evaluator._hosts] == ["h4", "h3"]


def test_the_topic_does_not_push_out_who_speaks() -> None:
    watch = Watch(SILENCE_RULE, max_hosts=2)
    watch.sample("h1")
    watch.sample("h2")
    tell(watch, "h9", watched("h9"))
    assert watch.evaluator.hosts == 2
    watch.evaluator.sample(sample("h1", watch.clock.now_ms() + 1, cpu=Cpu(count=1, percent=1)), watch.clock.now_ms(), 0)
    assert watch.evaluator.hosts == 2
