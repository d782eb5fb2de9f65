"""Rules: what is accepted, and how everything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.alerter.rules.book import parse
from services.alerter.rules.files import load_rules
from services.alerter.rules.rule import RulesError
from shared.alerting.matching import matches
from shared.schemas.control import Matcher
from tests.unit.alerter.support import rules


def refusal(text: str) -> str:
    with pytest.raises(RulesError) as refused:
        parse({"f.yaml": text})
    return str(refused.value)


def one(*lines: str) -> str:
    """A file with one rule of these lines after its name and title; its first own line is line 4."""
    return "rules:\n  - name: a\n    title: t\n" + "".join(f"    {line}\n" for line in lines)


def test_the_shipped_rules_watch_what_they_should() -> None:
    shipped = {r.name: r for r in load_rules(None)}
    assert len(shipped) >= 15
    assert {r.metric for r in shipped.values() if r.metric} >= {
        "cpu.percent",
        "memory.percent",
        "swap.percent",
        "disk.percent",
        "disk.inodes_percent",
    }
    assert {r.condition for r in shipped.values()} == {"metric", "forecast", "anomaly", "silent", "late"}
    cpu = shipped["cpu_busy"]
    assert (cpu.above, cpu.leave, cpu.for_, cpu.keep_firing_for) == (90, 75, 30_000, 15_000)
    for rule in shipped.values():
        assert rule.zh, f"{rule.name} has no Chinese text"
        assert rule.advice or rule.anomaly  # which says what to do about what was found


@pytest.mark.parametrize(
    ("text", "ms"), [("30s", 30_000), ("1.5m", 90_000), ("2h", 7_200_000), ("45", 45_000), ("250ms", 250)]
)
def test_durations(text: str, ms: int) -> None:
    (rule,) = parse({"f": one("metric: cpu.percent", "above: 1", f"for: {text}")})
    assert rule.for_ == ms


@pytest.mark.parametrize(
    ("silent", "ms"),
    [("true", 60_000), ("5m", 300_000), ("90", 90_000), ("1", 1000)],
)
def test_silence_is_the_settings_or_the_rules_own(silent: str, ms: int) -> None:
    (rule,) = parse({"f": one(f"silent: {silent}")})
    assert rule.silent_after_ms(60_000) == ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f.yaml:1: must be a mapping of `rules:`, `patch:`, `shipped:`"),
        ("- a", "f.yaml:1: must be a mapping of `rules:`"),
        ("rules: [", "f.yaml:1: not YAML: expected the node content"),
        ("rules:\n  - name: a\n\ttitle: b", "f.yaml:3: not YAML: found character '\\t'"),
        ("a: &a [*a]", "f.yaml:1: not YAML: nested too deeply"),
        ("\x00", "f.yaml:1: not YAML: unacceptable character #x0000"),
        ("rules: 7", "f.yaml:1: rules: Input should be a valid list"),
        ("rules: []\nrulez: []", "f.yaml:2: rulez: unknown key"),
        ("rules:\n  - 5", "f.yaml:2: rule 1: Input should be"),
        (
            one("metric: cpu.percnt", "above: 1"),
            "f.yaml:4: rule `a`, metric: unknown metric `cpu.percnt`; did you mean `cpu.percent`?",
        ),
        (one("metric: host.score", "above: 1"), "f.yaml:4: rule `a`, metric: `host.score` is no reading of a host"),
        (one("anomaly: {findings: [crash_lop]}"), "the detector finds no `crash_lop`; did you mean `crash_loop`?"),
        (one("anomaly: {findings: [flapping], except_findings: [flapping]}"), "`flapping` is in `findings` and in"),
        (
            one("anomaly:", "  severity: info", "  scor: 2"),
            "f.yaml:6: rule `a`, anomaly.scor: unknown key; did you mean",
        ),
        (one("forecast: {metric: disk.percent, reaches: 100}"), "f.yaml:4: rule `a`, forecast.within: Field required"),
        (one("forecast: {metric: disk.percent, within: 6h}"), "exactly one of `reaches` and `falls_to`"),
        (one("forecast: {metric: disk.percent, reaches: 1, within: 6h, over: 5s}"), "forecast.over: Input should be"),
        (one("forecast: {metric: disk.percent, reaches: 1, within: 6h}", "above: 3"), "belong to a `metric`"),
        (one("absent: {after: 5m}"), "f.yaml:4: rule `a`, absent.metric: Field required"),
        (one("absent: {metric: gpu.load, after: 0}"), "absent.after: Input should be greater than or equal to 1000"),
        (one("late: 0s"), "f.yaml:4: rule `a`, late: Input should be greater than or equal to 1000"),
        (one("? [a]", ": b"), "f.yaml:4: not YAML: a key must be a word"),
        (one("? {a: b}", ": b"), "f.yaml:4: not YAML: a key must be a word"),
        (one("<<: &x {silent: true}", "*x : 1"), "not YAML: a key must be a word"),
        (one("silent: !!python/object:os.system ls"), "f.yaml:4: not YAML: could not determine a constructor"),
        (one("silent: true", "---", "rules: []"), "not YAML: "),
        (one("metric: cpu.percent"), "f.yaml:2: rule `a`: must have exactly one of `above` and `below`"),
        (one("metric: cpu.percent", "above: 1", "below: 0"), "must have exactly one of `above` and `below`"),
        (one("metric: cpu.percent", "above: 90", "leave: 95"), "`leave` must lie on the calm side"),
        (one("metric: cpu.percent", "below: 10", "leave: 5"), "`leave` must lie on the calm side"),
        (one("metric: cpu.percent", "above: lots"), "f.yaml:5: rule `a`, above: Input should be a valid number"),
        (one("metric: cpu.percent", "above: true"), "f.yaml:5: rule `a`, above: Input should be a valid number"),
        (one("metric: cpu.percent", "above: .nan"), "f.yaml:5: rule `a`, above: Input should be a finite number"),
        (
            one("metric: cpu.percent", "above: 9", "for: 3 weeks"),
            "f.yaml:6: rule `a`, for: `3 weeks` is not a duration",
        ),
        (one("metric: cpu.percent", "above: 9", "for: -5s"), "f.yaml:6: rule `a`, for: `-5s` is not a duration"),
        (one("metric: cpu.percent", "above: 9", "for: 99d"), "f.yaml:6: rule `a`, for: Input should be less than"),
        (one("metric: cpu.percent", "above: 9", "severity: bad"), "f.yaml:6: rule `a`, severity: Input should be"),
        (one("metric: cpu.percent", "aboev: 9"), "f.yaml:5: rule `a`, aboev: unknown key; did you mean `above`?"),
        (one("metric: cpu.percent", "above: 9", "above: 8"), "f.yaml:6: not YAML: `above` is there twice"),
        (one("silent: true", "metric: cpu.percent"), "(it has metric and silent)"),
        (
            one("silent: false"),
            "f.yaml:2: rule `a`: must have exactly one condition of `metric`, `forecast`, `anomaly`",
        ),
        (one("silent: false"), "`absent`, `silent`, `late` (it has none)"),
        (one("silent: true", "above: 3"), "`above`, `below` and `leave` belong to a `metric`"),
        (one("silent: true", "match: ['x']"), 'f.yaml:5: rule `a`, match.0: must be written `name="value"`'),
        (one("silent: true", "match: ['x=~\"(\"']"), "`(` is not a regular expression (RE2): missing )"),
        (
            one("silent: true", "match: ['x=~\"a{5000}\"']"),
            "is not a regular expression (RE2): invalid repetition size",
        ),
        (one("silent: true", "labels: {1a: b}"), "`1a` must be letters, digits and underscores"),
        ("rules:\n  - name: A b\n    title: t\n    silent: true", "f.yaml:2: rule `A b`, name: `A b` must be"),
        ("rules:\n  - title: t\n    silent: true", "f.yaml:2: rule 1, name: Field required"),
        (
            "rules:\n" + "".join(f"  - name: a\n    title: {t}\n    silent: true\n" for t in "xy"),
            "f.yaml:5: a second rule named `a`",
        ),
        ("#" * (1 << 18) + "\n", "f.yaml:1: larger than 262144 bytes"),
        ("rules: " + "[" * 5000, "f.yaml:1: not YAML"),
        ("rules: " + "[" + "1," * 25_000 + "]", "it holds too many values"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_every_mistake_is_told_at_once_in_order() -> None:
    text = "rules:\n" + "".join(f"  - name: r{i}\n    title: t\n    metric: nope\n" for i in range(15))
    lines = refusal(text).splitlines()
    assert [line.split(":")[1] for line in lines[:3]] == ["4", "7", "10"]
    assert len(lines) == 11
    assert lines[-1] == "and 5 more"


def test_one_bad_file_refuses_them_all(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(one("silent: true"))
    (tmp_path / "b.yml").write_text("rules:\n  - name: b\n")
    with pytest.raises(RulesError, match=r"b\.yml:2: rule `b`, title: Field required"):
        load_rules(tmp_path)


def test_a_directory_is_one_rule_set(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(one("silent: true").replace("name: a", "name: b"))
    (tmp_path / "a.yaml").write_text(one("silent: true"))
    (tmp_path / "notes.txt").write_text("not a rule")
    (tmp_path / ".#a.yaml").symlink_to("of an editor, leads nowhere")
    assert [r.name for r in load_rules(tmp_path) if r not in load_rules(None)] == ["a", "b"]
    (tmp_path / "c.yaml").write_text(one("silent: true"))
    with pytest.raises(RulesError, match=r"c\.yaml:2: a second rule named `a`"):
        load_rules(tmp_path)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_nothing_to_read_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(RulesError, match=r"cannot be read: No such file|no \*\.yaml file in it"):
        load_rules(tmp_path / name)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(RulesError, match="cannot be read"):
        load_rules(tmp_path / "a.yaml")


def test_a_disabled_rule_is_checked_but_not_used() -> None:
    assert rules("- {name: a, title: t, silent: true, enabled: false}") == ()
    with pytest.raises(RulesError):
        rules("- {name: a, title: t, enabled: false}")


def test_matchers() -> None:
    labels = {"env": "prod", "mountpoint": "/snap/core"}

    def m(name: str, value: str, regex: bool = False, equal: bool = True) -> Matcher:
        return Matcher(name=name, value=value, is_regex=regex, is_equal=equal)

    assert matches([m("env", "prod")], labels)
    assert not matches([m("env", "prod", equal=False)], labels)
    assert matches([m("mountpoint", "/snap/.*", regex=True)], labels)
    assert not matches([m("mountpoint", "/snap", regex=True)], labels)  # the whole value
    assert matches([m("absent", "")], labels)
    assert not matches([m("env", "prod"), m("env", "test")], labels)
