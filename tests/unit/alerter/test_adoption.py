"""Rules that change while alerts are open, alerts that move between alerters, alerts that get worse."""

from __future__ import annotations

from services.alerter.rules.rule import Rule
from shared.schemas.alert import Alert
from shared.schemas.sample import Cpu, GpuDevice, Gpus
from tests.unit.alerter.support import ANOMALY_RULE, CPU_RULE, DISK_RULE, SILENCE_RULE, Watch, alert, disk, rules

ABSENT_RULE = """
  - name: gpu_gone
    title: GPU is gone
    absent: {metric: gpu.load, after: 5m}
    keep_firing_for: 5s
"""


FORECAST_RULE = """
  - name: soon
    title: Disk will be full soon
    forecast: {metric: disk.percent, reaches: 100, within: 6h, over: 1h}
"""


def adopt(watch: Watch, *texts: str) -> list[tuple[str, str]]:
    wanted: tuple[Rule, ...] = rules(*texts)
    return [(a.state, a.reason) for a in watch._said(watch.evaluator.adopt(wanted, watch.clock.now_ms()))]


# -- other rules ---------------------------------------------------------------------------------------------------


def test_an_alert_goes_on_under_a_changed_rule() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(95, 40)
    assert adopt(watch, CPU_RULE.replace("above: 90", "above: 97").replace("leave: 75", "leave: 96"), DISK_RULE) == []
    watch.cpu(95, 20)
    assert watch.states() == ["pending", "firing", "resolved"]
    assert len({a.alert_id for a in watch.alerts}) == 1


def test_what_is_pending_goes_on_too() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(95, 20)
    adopt(watch, CPU_RULE.replace("for: 30s", "for: 25s"))
    watch.cpu(95, 6)
    assert watch.states() == ["pending", "firing"]
    assert watch.alerts[1].ts - watch.alerts[0].ts == 25_000


def test_a_rule_that_goes_ends_its_alerts_and_no_others() -> None:
    watch = Watch(CPU_RULE, DISK_RULE)
    watch.cpu(95, 40)
    watch.clock.advance(1)
    watch.sample(disks=[disk("/", 99)])
    assert adopt(watch, DISK_RULE) == [("resolved", "its rule is gone")]
    assert watch.evaluator.open == 1
    assert adopt(watch, CPU_RULE, DISK_RULE) == []
    watch.cpu(95, 31)
    assert watch.states("cpu_busy") == ["pending", "firing", "resolved", "pending", "firing"]


def test_a_rule_that_is_about_something_else_ends_its_alerts() -> None:
    for other in (
        CPU_RULE.replace("cpu.percent", "memory.percent"),
        CPU_RULE.replace("above: 90", "below: 90").replace("leave: 75", "leave: 95"),
        "- {name: cpu_busy, title: t, anomaly: {}}",
    ):
        watch = Watch(CPU_RULE)
        watch.cpu(95, 40)
        assert adopt(watch, other) == [("resolved", "its rule is about something else now")]
        assert watch.evaluator.open == 0


def test_a_rule_that_no_longer_means_a_host_ends_its_alerts() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(95, 40)
    watch.cpu(95, 40, host_id="h2")
    assert adopt(watch, CPU_RULE + "    match: ['host_id=\"h1\"']\n") == [("resolved", "its rule no longer means it")]
    assert watch.alerts[-1].host_id == "h2"


def test_a_rule_that_comes_looks_at_what_is_there() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(95, 40)
    adopt(watch, CPU_RULE, "- {name: warm, title: t, metric: cpu.percent, above: 94}")
    watch.cpu(95, 1)
    assert watch.states("warm") == ["firing"]


def test_an_anomaly_that_was_open_when_its_rule_went_does_not_hold_the_next() -> None:
    watch = Watch(ANOMALY_RULE)
    watch.anomaly("open")
    adopt(watch, CPU_RULE)
    watch.clock.advance(5)
    watch.anomaly("close")
    adopt(watch, ANOMALY_RULE)
    watch.clock.advance(5)
    watch.anomaly("open", anomaly_id="a2")
    watch.clock.advance(5)
    watch.anomaly("close", anomaly_id="a2")
    watch.tick(20)
    assert watch.states() == ["firing", "resolved", "firing", "resolved"]


# -- other alerters ------------------------------------------------------------------------------------------------


def moved(watch: Watch, *texts: str, known: list[Alert] | None = None) -> Watch:
    """Another alerter, which knows what the first one said."""
    newest = {a.alert_id: a for a in watch.alerts} if known is None else {a.alert_id: a for a in known}
    other = Watch(*texts, known=lambda host_id: [a for a in newest.values() if a.host_id == host_id])
    other.clock = watch.clock
    return other


def test_a_hosts_first_event_brings_its_alerts_along() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(95, 40)
    other = moved(watch, CPU_RULE)
    assert other.evaluator.open == 0
    other.cpu(95, 30)
    assert other.alerts == [] and other.evaluator.open == 1
    other.cpu(1, 20)
    assert [(a.state, a.alert_id) for a in other.alerts] == [("resolved", watch.alerts[0].alert_id)]


def test_who_gives_a_host_away_forgets_it_and_ends_nothing() -> None:
    watch = Watch(CPU_RULE, SILENCE_RULE)
    watch.cpu(95, 40)
    watch.cpu(95, 40, host_id="h2")
    before = list(watch.alerts)
    watch.evaluator.release(["h1", "nobody"], watch.clock.monotonic())
    assert (watch.evaluator.open, watch.evaluator.hosts) == (1, 1)
    watch.cpu(95, 1, host_id="h2")
    watch.tick(120)
    assert [a.host_id for a in watch.alerts[len(before) :]] == ["h2"]


def test_a_group_that_forms_anew_costs_nothing_of_what_was_learned() -> None:
    ours = {"h1"}
    watch = Watch(CPU_RULE, FORECAST_RULE, ours=ours.__contains__)
    known: dict[str, Alert] = {}
    watch.evaluator._known = lambda _: known.values()

    def fill(begin: int, minutes: int) -> None:
        for minute in range(begin, begin + minutes):
            watch.clock.advance(60)
            watch.sample(cpu=Cpu(count=1, percent=95), disks=[disk("/", 70 + minute / 12)])
            known.update({a.alert_id: a for a in watch.alerts})

    fill(0, 90)
    assert watch.states() == ["pending", "firing", "firing"]
    ours.clear()  # for a moment nobody has anything
    assert watch.evaluator.reassigned(watch.clock.now_ms(), watch.clock.monotonic()) == []
    assert (watch.evaluator.open, watch.evaluator.hosts) == (0, 0)
    watch.clock.advance(5)
    ours.add("h1")
    assert watch.evaluator.reassigned(watch.clock.now_ms(), watch.clock.monotonic()) == []
    fill(90, 30)
    assert watch.states() == ["pending", "firing", "firing"]
    assert watch.evaluator.open == 2
    watch.clock.advance(60)
    watch.sample(disks=[disk("/", 80)])
    (host,) = watch.evaluator._hosts
    assert host.series["soon", "/"].left_ms(100) is not None


def test_what_another_said_meanwhile_counts_and_not_what_was_remembered() -> None:
    ours = {"h1"}
    watch = Watch(CPU_RULE, ours=ours.__contains__)
    watch.cpu(95, 40)
    other = moved(watch, CPU_RULE)
    ours.clear()
    watch.evaluator.reassigned(watch.clock.now_ms(), watch.clock.monotonic())
    other.cpu(1, 20)
    assert other.states() == ["resolved"]
    watch.evaluator._known = lambda _: other.alerts[-1:]
    ours.add("h1")
    watch.cpu(1, 20)
    assert watch.states() == ["pending", "firing"]
    assert watch.evaluator.open == 0


def test_what_was_given_away_long_ago_is_forgotten() -> None:
    watch = Watch(CPU_RULE, FORECAST_RULE)
    watch.sample(disks=[disk("/", 1)])
    watch.evaluator.release(["h1"], watch.clock.monotonic())
    watch.clock.advance(3600)
    watch.sample(cpu=Cpu(count=1, percent=1))
    assert [host.series for host in watch.evaluator._hosts] == [{}]


def test_a_rule_that_changed_while_nobody_looked_ends_what_it_said() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(95, 40)
    for texts, reason in (
        ([DISK_RULE], "its rule is gone"),
        ([CPU_RULE.replace("cpu.percent", "memory.percent")], "its rule is about something else now"),
        ([CPU_RULE + "    match: ['env=\"prod\"']\n"], "its rule no longer means it"),
    ):
        other = moved(watch, *texts)
        other.cpu(1, 1)
        assert [(a.state, a.reason) for a in other.alerts] == [("resolved", reason)]


def test_states_of_an_older_topic_mean_that_it_fires() -> None:
    for state in ("suppressed", "acknowledged", "flapping"):
        old = alert("x").model_copy(update={"state": state})
        other = moved(Watch(CPU_RULE), CPU_RULE, known=[old])
        other.clock.advance(3600)
        other.cpu(1, 20)
        assert [(a.previous_state, a.state, a.alert_id) for a in other.alerts] == [("firing", "resolved", "x")]


def test_to_be_told_twice_what_is_known_is_harmless() -> None:
    watch = Watch(CPU_RULE)
    watch.cpu(95, 40)
    now_ms, now = watch.clock.now_ms(), watch.clock.monotonic()
    assert watch.evaluator.take_up("h1", watch.alerts[-1:], now_ms, now) == []
    assert watch.evaluator.restore(watch.alerts[-1:], now_ms, now) == []
    assert watch.evaluator.open == 1


# -- worse ---------------------------------------------------------------------------------------------------------

LOAD_RULE = "- {name: load, title: Load, metric: cpu.load1, above: 10, leave: 5}"


def load(watch: Watch, value: float) -> list[Alert]:
    watch.clock.advance(1)
    return watch.sample(load={"load1": value, "load5": 0.0, "load15": 0.0})


def test_an_alert_says_when_it_is_twice_as_bad_as_it_last_said() -> None:
    watch = Watch(LOAD_RULE)
    values = [11, 11.9, 12, 13, 13.9, 14, 12, 15.9, 16, 18, 18.1, 26, 100, 99]
    told = [value for value in values if load(watch, value)]
    assert told == [11, 12, 14, 18, 26, 100]
    assert [(a.previous_state, a.state, a.reason) for a in watch.alerts[1:]] == [("firing", "firing", "got worse")] * 5
    assert len({a.event_id for a in watch.alerts}) == 6 and len({a.alert_id for a in watch.alerts}) == 1
    assert watch.alerts[-1].summary == "Load on web1: 100.00 tasks (limit 10.00 tasks)"
    assert watch.alerts[-1].value == 100


def test_getting_better_and_worse_again_is_not_worse_than_it_was() -> None:
    watch = Watch(LOAD_RULE)
    for value in (12, 30, 11, 30, 6, 30, 39):
        load(watch, value)
    assert [a.value for a in watch.alerts] == [12, 30]


def test_a_hair_above_the_threshold_is_not_the_measure_of_worse() -> None:
    watch = Watch(LOAD_RULE)
    assert [v for v in (10.01, 10.02, 10.1, 10.5, 10.9, 11.0) if load(watch, v)] == [10.01, 11.0]


def test_after_a_restart_worse_is_still_worse_than_what_was_told() -> None:
    watch = Watch(LOAD_RULE)
    for value in (11, 20):
        load(watch, value)
    other = moved(watch, LOAD_RULE)
    assert [v for v in (20, 25, 29.9, 30) if load(other, v)] == [30]


def test_a_silent_host_does_not_get_more_silent() -> None:
    watch = Watch(SILENCE_RULE)
    watch.sample()
    watch.tick(4000)
    assert watch.states() == ["firing"]


def test_an_anomaly_that_gets_more_severe_says_so_once() -> None:
    watch = Watch(ANOMALY_RULE)
    watch.anomaly("open")
    for severity in ("warning", "critical", "critical", "info", "critical"):
        watch.clock.advance(30)
        watch.anomaly("update", severity=severity, summary=f"now {severity}")
    assert [(a.state, a.reason) for a in watch.alerts][1:] == [("firing", "got worse")]
    assert watch.alerts[1].annotations["description"] == "now critical"
    again = moved(watch, ANOMALY_RULE)
    again.clock.advance(30)
    assert again.anomaly("update", severity="critical") == []


def test_an_anomaly_that_got_worse_before_it_was_told_is_told_once() -> None:
    watch = Watch(ANOMALY_RULE + "    for: 1m\n")
    watch.anomaly("open")
    watch.clock.advance(10)
    watch.anomaly("update", severity="critical")
    watch.tick(90)
    watch.anomaly("update", severity="critical")
    assert watch.states() == ["pending", "firing"]


# -- absent --------------------------------------------------------------------------------------------------------


def gpus(watch: Watch, seconds: int, ids: list[int] | None) -> list[str]:
    """Samples every ten seconds with GPUs of these ids, or without the section."""
    said = []
    for _ in range(0, seconds, 10):
        watch.clock.advance(10)
        devices = None if ids is None else Gpus(devices=[GpuDevice(id=n, name="x", load=1.0) for n in ids])
        said += watch.sample(cpu=Cpu(count=1, percent=1), gpus=devices) + watch.tick()
    return [f"{a.labels.get('instance', '')}:{a.state}" for a in said]


def test_a_metric_that_a_host_no_longer_speaks_of_is_missed() -> None:
    watch = Watch(ABSENT_RULE)
    assert gpus(watch, 600, [0, 1]) == []
    assert gpus(watch, 290, [1]) == []
    assert gpus(watch, 20, [1]) == ["0:firing"]
    fired = watch.alerts[-1]
    assert fired.summary == "GPU is gone: web1 0, no gpu.load for 5 min"
    assert (fired.labels["condition"], fired.labels["metric"], fired.labels["id"]) == ("absent", "gpu.load", "0")
    assert gpus(watch, 600, [1]) == []
    assert gpus(watch, 300, None) == ["1:firing"]
    assert gpus(watch, 60, [0, 1]) == ["0:resolved", "1:resolved"]


def test_a_host_that_never_had_it_is_not_missed_for_it() -> None:
    watch = Watch(ABSENT_RULE)
    assert gpus(watch, 3600, []) == []


def test_a_silent_host_is_silent_and_nothing_more() -> None:
    watch = Watch(ABSENT_RULE, SILENCE_RULE)
    gpus(watch, 600, [0])
    watch.tick(3600)
    assert {a.rule for a in watch.alerts} == {"host_silent"}
    for seconds in (10, 200, 10):  # it is back, and has not come round to its GPUs yet
        gpus(watch, seconds, None)
    assert {a.rule for a in watch.alerts} == {"host_silent"}
    gpus(watch, 100, None)
    assert watch.states("gpu_gone") == ["firing"]


def test_what_is_gone_for_a_week_is_no_longer_missed() -> None:
    watch = Watch(ABSENT_RULE)
    gpus(watch, 600, [0])
    gpus(watch, 400, [])
    for _ in range(7 * 24 * 30):
        watch.clock.advance(120)
        watch.sample(cpu=Cpu(count=1, percent=1), gpus=Gpus())
    watch.tick()
    assert watch.states() == ["firing", "resolved"]
    assert watch.alerts[-1].reason == "what was watched is gone"
