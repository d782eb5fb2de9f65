"""Rules against events: what becomes an alert, what it says, and what never does."""

from __future__ import annotations

import pytest

from services.alerter.evaluation.ahead import RECENT_S
from services.alerter.evaluation.evaluator import ANOMALY_STALE_MS, STALE_MS, Evaluator
from services.alerter.rules.files import load_rules
from shared.runtime.clock import ManualClock
from shared.schemas.anomaly import Contribution
from shared.schemas.codec import encode
from shared.schemas.metrics import CATALOGUE
from shared.schemas.sample import Cpu, GpuDevice, Gpus, HostSample, Load
from tests.support.samples import host_sample
from tests.unit.alerter.support import ANOMALY_RULE, CPU_RULE, DISK_RULE, SILENCE_RULE, Watch, disk, sample


def test_a_busy_loop_fires_after_half_a_minute_and_resolves_after_a_quarter() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(5, 10)
    watch.cpu(100, 31)
    pending, firing = watch.alerts
    assert (pending.state, firing.state) == ("pending", "firing")
    assert firing.ts - pending.ts == 30_000
    assert firing.started_at == pending.started_at == pending.ts
    assert firing.summary == "CPU is busy on web1: 100.0 % (limit 90.0 %)"
    watch.cpu(10, 16)
    resolved = watch.alerts[-1]
    assert (resolved.state, resolved.previous_state) == ("resolved", "firing")
    assert resolved.alert_id == firing.alert_id
    assert resolved.ended_at == resolved.ts - 15_000
    assert watch.evaluator.open == 0


def test_the_sentence_names_what_where_and_how_much() -> None:
    watch = Watch(DISK_RULE, CPU_RULE)
    (fired,) = watch.sample(disks=[disk("/var", 99.1), disk("/", 40)])
    assert fired.summary == "Disk is almost full on web1 /var: 99.1 % (limit 98.0 %)"
    assert fired.labels["mountpoint"] == "/var"
    assert fired.labels["alertname"] == "disk_full"


def test_every_mountpoint_is_an_alert_of_its_own() -> None:
    watch = Watch(DISK_RULE)
    fired = watch.sample(disks=[disk("/", 99), disk("/var", 99), disk("/home", 10)])
    assert {a.labels["instance"] for a in fired} == {"/", "/var"}
    assert len({a.fingerprint for a in fired}) == 2
    watch.clock.advance(15)
    (ended,) = watch.sample(disks=[disk("/", 50), disk("/var", 99), disk("/home", 10)])
    assert (ended.labels["instance"], ended.state) == ("/", "resolved")


def test_an_unmounted_disk_is_no_longer_full() -> None:
    watch = Watch(DISK_RULE)
    watch.sample(disks=[disk("/mnt/usb", 99), disk("/", 1)])
    watch.clock.advance(15)
    (ended,) = watch.sample(disks=[disk("/", 1)])
    assert (ended.state, ended.reason) == ("resolved", "what was watched is gone")


def test_an_image_is_full_by_nature() -> None:
    watch = Watch(DISK_RULE)
    assert watch.sample(disks=[disk("/snap/core", 100, read_only=True)]) == []


def test_a_section_that_was_not_due_says_nothing() -> None:
    watch = Watch(DISK_RULE)
    watch.sample(disks=[disk("/", 99)])
    for _ in range(100):
        watch.clock.advance(1)
        assert watch.sample(cpu=Cpu(count=1, percent=1)) == []
    assert watch.evaluator.open == 1


def test_a_section_that_stops_coming_ends_its_alerts() -> None:
    watch = Watch(DISK_RULE)
    watch.sample(disks=[disk("/", 99)])
    said = []
    for _ in range(0, STALE_MS // 1000 + 10, 10):
        watch.clock.advance(10)
        said += watch.sample(cpu=Cpu(count=1, percent=1)) + watch.tick()
    assert [(a.state, a.reason) for a in said] == [("resolved", "no readings any more")]


def test_a_section_that_comes_every_ten_minutes_is_given_its_time() -> None:
    watch = Watch(DISK_RULE.replace("severity: critical", "for: 15m"))
    for minute in range(61):
        sections = {"disks": [disk("/", 99)]} if minute % 10 == 0 else {}
        watch.sample(**sections)
        watch.tick()
        watch.clock.advance(60)
    # The rhythm is known from the second time on; the pause before that could have been anything.
    assert watch.states() == ["pending", "inactive", "pending", "firing"]


def test_alerts_of_a_silent_host_stay_as_they_are() -> None:
    watch = Watch(DISK_RULE, SILENCE_RULE)
    watch.sample(disks=[disk("/", 99)])
    watch.tick(1000)
    assert watch.states("disk_full") == ["firing"]
    assert watch.states("host_silent") == ["firing"]


def test_history_is_never_told_as_news() -> None:
    watch = Watch(CPU_RULE)
    for age in range(4000, 400, -1):  # a spool from an outage an hour ago, full of trouble
        assert watch.sample(late_s=age, cpu=Cpu(count=1, percent=100)) == []
    watch.cpu(5, 60)
    assert watch.alerts == []


def test_repeats_and_disorder_change_nothing() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(100, 31)
    before = list(watch.alerts)
    for age in (0, 1, 5, 29, 30, 0):
        watch.sample(late_s=age, cpu=Cpu(count=1, percent=0))
    assert watch.alerts == before
    assert watch.evaluator.open == 1


def test_the_same_samples_make_the_same_alert() -> None:
    one, two = Watch(CPU_RULE), Watch(CPU_RULE)
    for watch in (one, two):
        watch.cpu(100, 31)
    assert [a.event_id for a in one.alerts] == [a.event_id for a in two.alerts]
    assert [encode(a) for a in one.alerts] == [encode(a) for a in two.alerts]


def test_a_restart_goes_on_where_it_was() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(100, 20)
    (pending,) = watch.alerts
    again = Watch(CPU_RULE)
    again.clock = watch.clock
    again.evaluator.restore([pending], watch.clock.now_ms(), watch.clock.monotonic())
    for age in range(30, 0, -1):  # what was read but not acknowledged comes again
        again.sample(late_s=age, cpu=Cpu(count=1, percent=100))
    again.cpu(100, 11)
    assert [(a.state, a.alert_id) for a in again.alerts] == [("firing", pending.alert_id)]
    firing = again.alerts[0]
    third = Watch(CPU_RULE)
    third.clock = watch.clock
    third.evaluator.restore([firing], watch.clock.now_ms(), watch.clock.monotonic())
    third.cpu(100, 30)
    assert third.alerts == []
    third.cpu(1, 20)
    assert third.states() == ["resolved"]


def test_a_rule_that_went_away_ends_its_alerts() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(100, 31)
    again = Watch(DISK_RULE)
    again.clock = watch.clock
    (ended,) = again.evaluator.restore([watch.alerts[-1]], again.clock.now_ms(), again.clock.monotonic())
    assert (ended.state, ended.reason, ended.alert_id) == ("resolved", "its rule is gone", watch.alerts[-1].alert_id)
    assert again.evaluator.open == 0


def test_below_is_above_upside_down() -> None:
    rule = """
      - name: load_low
        title: Nothing happens
        metric: cpu.load1
        below: 0.1
        leave: 0.5
    """
    watch = Watch(rule)
    for load, states in ((1.0, []), (0.05, ["firing"]), (0.3, ["firing"]), (0.6, ["firing", "resolved"])):
        watch.clock.advance(1)
        watch.sample(load=Load(load1=load, load5=1, load15=1))
        assert watch.states() == states


def test_without_leave_the_threshold_is_the_limit_both_ways() -> None:
    watch = Watch(CPU_RULE.replace("leave: 75", "").replace("for: 30s", "").replace("keep_firing_for: 15s", ""))
    watch.cpu(90)
    assert watch.states() == []
    watch.cpu(90.1)
    assert watch.states() == ["firing"]
    watch.cpu(90)
    assert watch.states() == ["firing", "resolved"]


def test_matchers_choose_hosts_and_instances() -> None:
    watch = Watch(DISK_RULE + """    match: ['env="prod"', 'mountpoint!~"/media/.*"']\n""")
    assert watch.sample("h1", labels={"env": "test"}, disks=[disk("/", 99)]) == []
    fired = watch.sample("h2", labels={"env": "prod"}, disks=[disk("/", 99), disk("/media/cd", 99)])
    assert [a.labels["mountpoint"] for a in fired] == ["/"]


def test_labels_of_the_host_travel_but_do_not_overrule_ours() -> None:
    watch = Watch(DISK_RULE + "    labels: {team: storage}\n")
    labels = {"env": "prod", "host": "liar", "severity": "info", "x" * 1000: "y" * 100_000}
    (fired,) = watch.sample(labels=labels, disks=[disk("/", 99)])
    assert fired.labels["env"] == "prod"
    assert fired.labels["team"] == "storage"
    assert fired.labels["host"] == "web1"
    assert fired.labels["severity"] == "critical"
    assert len(encode(fired)) < 10_000


def test_gpus_are_told_apart_by_id() -> None:
    rule = "- {name: gpu_hot, title: GPU is hot, metric: gpu.temperature, above: 90}"
    watch = Watch(rule)
    devices = [GpuDevice(id=0, name="a", temperature=95.0), GpuDevice(id=1, name="b", temperature=None)]
    (fired,) = watch.sample(gpus=Gpus(devices=devices))
    assert fired.labels["id"] == "0"
    assert fired.summary == "GPU is hot on web1 0: 95.0 °C (limit 90.0 °C)"


@pytest.mark.parametrize("name", [m.name for m in CATALOGUE if m.section != "score"])
def test_every_metric_of_the_catalogue_can_be_watched(name: str) -> None:
    watch = Watch(f"- {{name: r, title: t, metric: {name}, above: -1000}}")
    fired = watch._said(
        watch.evaluator.sample(
            HostSample.model_validate(host_sample(ts=watch.clock.now_ms())), watch.clock.now_ms(), 0.0
        )
    )
    assert fired


def test_an_anomaly_is_an_alert_from_open_to_close() -> None:
    watch = Watch(ANOMALY_RULE)
    (fired,) = watch.anomaly(
        "open",
        summary="cpu and memory are unusual",
        contributions=[
            Contribution(metric="cpu.percent", share=0.7, value=99, expected_low=3, expected_high=20),
            Contribution(
                metric="disk.percent", labels={"mountpoint": "/"}, share=0.1, value=9, expected_low=1, expected_high=2
            ),
        ],
    )
    assert (fired.state, fired.anomaly_id, fired.value) == ("firing", "a1", 2.0)
    assert fired.annotations["contributions"].splitlines() == [
        "cpu.percent 99.0 % (usually 3.0 % to 20.0 %)",
        "disk.percent / 9.0 % (usually 1.0 % to 2.0 %)",
    ]
    watch.clock.advance(30)
    assert watch.anomaly("update") == []
    watch.clock.advance(30)
    assert watch.anomaly("close") == []
    said = watch.tick(20)
    assert [(a.state, a.alert_id) for a in said] == [("resolved", fired.alert_id)]


def test_an_anomaly_is_called_what_was_found() -> None:
    watch = Watch(ANOMALY_RULE)
    (fired,) = watch.anomaly("open", finding="memory_leak")
    assert (fired.annotations["title"], fired.summary.partition(" on ")[0]) == ("Memory leak", "Memory leak")
    watch.clock.advance(30)
    watch.anomaly("close")
    (over,) = watch.tick(20)
    assert over.annotations["title"] == "Memory leak"


def test_a_rule_about_one_finding_keeps_its_own_title() -> None:
    watch = Watch("- {name: leak, title: Restart it, anomaly: {severity: warning, findings: [memory_leak]}}")
    (fired,) = watch.anomaly("open", finding="memory_leak")
    assert fired.annotations["title"] == "Restart it"


def test_an_anomaly_in_chinese() -> None:
    watch = Watch(ANOMALY_RULE, language="zh")
    contribution = Contribution(metric="cpu.percent", share=0.7, value=99, expected_low=3, expected_high=20)
    (fired,) = watch.anomaly("open", finding="cpu_overload", contributions=[contribution])
    assert fired.annotations["title"] == "CPU 过载"
    assert fired.annotations["contributions"] == "cpu.percent 99.0 %(通常为 3.0 % 至 20.0 %)"


def test_an_anomaly_that_comes_back_at_once_is_the_same_alert() -> None:
    watch = Watch(ANOMALY_RULE)
    watch.anomaly("open")
    watch.clock.advance(10)
    watch.anomaly("close")
    watch.tick(5)
    watch.anomaly("open", anomaly_id="a2")
    watch.tick(60)
    assert watch.states() == ["firing"]


def test_repeated_anomaly_events_do_not_wake_anybody() -> None:
    watch = Watch(ANOMALY_RULE)
    first = watch.clock.now_ms()
    watch.anomaly("open")
    watch.clock.advance(10)
    watch.anomaly("close")
    watch.tick(20)
    watch.anomaly("open", ts=first)  # the topic is read again from before
    watch.anomaly("update", ts=first + 5000)
    watch.tick(20)
    assert watch.states() == ["firing", "resolved"]


def test_old_anomalies_are_not_news() -> None:
    watch = Watch(ANOMALY_RULE)
    assert watch.anomaly("open", ts=watch.clock.now_ms() - 3_600_000) == []


def test_mild_anomalies_are_not_alerts_until_they_worsen() -> None:
    watch = Watch(ANOMALY_RULE)
    assert watch.anomaly("open", severity="info") == []
    watch.clock.advance(1)
    assert [a.state for a in watch.anomaly("update", severity="critical")] == ["firing"]
    watch.clock.advance(1)
    assert watch.anomaly("update", severity="info") == []  # it lasts, though milder


def test_an_anomaly_nobody_closes_ends_some_time() -> None:
    watch = Watch(ANOMALY_RULE)
    watch.anomaly("open")
    watch.clock.advance(ANOMALY_STALE_MS / 1000 + 1)
    assert [(a.state, a.reason) for a in watch.tick()] == [("resolved", "no readings any more")]


def test_findings_can_be_chosen() -> None:
    rule = ANOMALY_RULE.replace("{severity: warning}", "{severity: info, findings: [cpu_overload]}")
    watch = Watch(rule)
    assert watch.anomaly("open", finding="unusual") == []
    assert [a.labels["finding"] for a in watch.anomaly("open", finding="cpu_overload")] == ["cpu_overload"]


def test_a_finding_that_changes_is_still_the_same_anomaly() -> None:
    watch = Watch(ANOMALY_RULE)
    watch.anomaly("open", finding="unusual")
    watch.clock.advance(5)
    assert watch.anomaly("update", finding="cpu_overload") == []
    watch.clock.advance(5)
    watch.anomaly("close", finding="memory_pressure")
    assert [a.state for a in watch.tick(20)] == ["resolved"]
    assert watch.evaluator.open == 0


def test_two_anomalies_at_once_are_one_alert_until_both_are_over() -> None:
    watch = Watch(ANOMALY_RULE)
    watch.anomaly("open")
    watch.clock.advance(1)
    watch.anomaly("open", anomaly_id="a2")
    watch.clock.advance(1)
    watch.anomaly("close")
    assert watch.tick(60) == []
    watch.anomaly("close", anomaly_id="a2")
    assert [a.state for a in watch.tick(20)] == ["resolved"]


def test_a_clock_that_was_wrong_is_not_blamed_once_nobody_says_anything() -> None:
    watch = Watch(CPU_RULE)
    for _ in range(90):
        watch.clock.advance(1)
        watch.sample(late_s=-700, cpu=Cpu(count=1, percent=1))
    assert watch.evaluator.only_future_for(watch.clock.monotonic()) == 89
    watch.clock.advance(RECENT_S + 1)
    assert watch.evaluator.only_future_for(watch.clock.monotonic()) == 0


def test_what_has_another_name_is_another_alert() -> None:
    """A leak on a machine that has been overloaded for hours must reach somebody."""
    watch = Watch(ANOMALY_RULE)
    (busy,) = watch.anomaly("open", finding="cpu_overload", severity="critical")
    watch.clock.advance(600)
    (leak,) = watch.anomaly("open", anomaly_id="a2", finding="memory_leak", summary="java has 9 GB")
    assert (leak.state, leak.annotations["title"]) == ("firing", "Memory leak")
    assert leak.fingerprint != busy.fingerprint
    assert "instance" not in leak.labels
    watch.clock.advance(1)
    watch.anomaly("close", anomaly_id="a2", finding="memory_leak")
    assert [(a.alert_id, a.state) for a in watch.tick(20)] == [(leak.alert_id, "resolved")]
    assert watch.evaluator.open == 1


def test_memory_is_bounded_and_says_so() -> None:
    watch = Watch(DISK_RULE, max_alerts=10)
    watch.sample(disks=[disk(f"/{i}", 99) for i in range(50)])
    assert watch.evaluator.open == len(watch.alerts) == 10
    assert watch.evaluator.refused == 40
    watch.clock.advance(15)
    watch.sample(disks=[disk(f"/{i}", 10) for i in range(50)])
    assert watch.evaluator.open == 0


def test_the_language_is_the_settings() -> None:
    evaluator = Evaluator(load_rules(None), silent_after_ms=60_000, language="zh")
    now = ManualClock().now_ms()
    said = evaluator.sample(sample("h1", now, disks=[disk("/", 99)]), now, 0.0)
    assert "web1 磁盘即将写满 /:99.0 %(阈值 98.0 %)" in [a.summary for a in said]


def test_a_restart_ends_nothing_that_was_said_long_ago_before_its_readings_had_time_to_come() -> None:
    watch = Watch(CPU_RULE, DISK_RULE)
    watch.cpu(100, 31)
    watch.sample(disks=[disk("/", 99)])
    watch.clock.advance(1200)
    watch.sample(cpu=Cpu(count=1, percent=100), disks=[disk("/", 99), disk("/srv", 99)])
    watch.clock.advance(1)
    watch.sample(disks=[disk("/", 99), disk("/srv", 1)])
    assert watch.states() == ["pending", "firing", "firing", "firing", "resolved"]
    newest = {a.alert_id: a for a in watch.alerts}
    again = Watch(CPU_RULE, DISK_RULE)
    again.clock = watch.clock
    again.evaluator.restore(newest.values(), again.clock.now_ms(), again.clock.monotonic())
    again.tick(5)
    again.cpu(100, 15)  # the disks come more rarely
    again.tick()
    again.sample(disks=[disk("/", 99)])
    again.tick()
    assert again.alerts == []
    again.cpu(100, 250)
    again.tick()
    assert again.alerts == []
    again.cpu(100, 52)
    again.tick()
    assert [(a.rule, a.reason) for a in again.alerts] == [("disk_full", "no readings any more")]


def test_an_anomaly_that_was_told_hours_before_a_restart_goes_on_and_ends_when_nobody_speaks_of_it() -> None:
    watch = Watch(ANOMALY_RULE)
    watch.anomaly("open")
    (fired,) = watch.alerts
    watch.clock.advance(7200)
    again = Watch(ANOMALY_RULE)
    again.clock = watch.clock
    again.evaluator.restore([fired], again.clock.now_ms(), again.clock.monotonic())
    again.tick(10)
    assert again.alerts == []
    again.clock.advance(3600)
    again.tick()
    assert [a.reason for a in again.alerts] == ["no readings any more"]
