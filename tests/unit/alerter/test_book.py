"""Our rules and the operator's: added, patched, replaced, left out; read again when they change, or refused whole."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alerter.fields import matcher
from services.alerter.rules.book import Book, bind
from services.alerter.rules.entries import entries
from services.alerter.rules.files import SHIPPED, RuleSource, load_book
from services.alerter.rules.rule import FINDINGS, Rule, RulesError
from services.detector import wording
from shared.alerting.matching import written
from shared.schemas.control import Matcher

OURS = """
rules:
  - name: cpu_busy
    title: CPU is busy
    metric: cpu.percent
    above: 90
    leave: 75
    labels: {team: ops}
    zh: {title: 忙, advice: 看}
  - name: odd
    title: Odd
    anomaly: {severity: warning}
"""
MINE = "rules:\n  - {name: mine, title: Mine, silent: true}\n"


def bound(*texts: str) -> Book:
    return bind({f"{n}.yaml": text for n, text in enumerate(texts)}, OURS)


def rule(book: Book, name: str) -> Rule:
    return next(r for r in book.rules if r.name == name)


def refusal(*texts: str) -> str:
    with pytest.raises(RulesError) as refused:
        bound(*texts)
    return str(refused.value)


def test_rules_of_ones_own_are_added_to_ours() -> None:
    book = bound(MINE)
    assert [r.name for r in book.enabled] == ["cpu_busy", "odd", "mine"]
    assert book.sources == {"cpu_busy": "shipped", "odd": "shipped", "mine": "0.yaml"}


def test_a_rule_of_the_same_name_replaces_ours_whole() -> None:
    book = bound("rules:\n  - {name: cpu_busy, title: Mine, metric: cpu.percent, above: 99}\n")
    assert [r.name for r in book.rules] == ["odd", "cpu_busy"]
    mine = rule(book, "cpu_busy")
    assert (mine.title, mine.above, mine.leave, mine.labels) == ("Mine", 99, None, {})
    assert book.sources["cpu_busy"] == "0.yaml"


def test_a_patch_changes_single_keys() -> None:
    book = bound("patch:\n  cpu_busy: {above: 95, for: 2m, labels: {page: yes please}, zh: {advice: 快看}}\n")
    patched = rule(book, "cpu_busy")
    assert (patched.above, patched.leave, patched.for_) == (95, 75, 120_000)
    assert patched.labels == {"team": "ops", "page": "yes please"}
    assert patched.zh and (patched.zh.title, patched.zh.advice) == ("忙", "快看")
    assert book.sources["cpu_busy"] == "shipped, patched in 0.yaml"
    assert rule(book, "odd").anomaly is not None


def test_a_patch_switches_off_and_null_takes_away() -> None:
    book = bound("patch:\n  odd: {enabled: false}\n  cpu_busy: {above: null, leave: null, below: 3}\n")
    assert [r.name for r in book.enabled] == ["cpu_busy"]
    assert [r.name for r in book.rules] == ["cpu_busy", "odd"]
    assert (rule(book, "cpu_busy").above, rule(book, "cpu_busy").below) == (None, 3)


def test_ours_can_be_left_out() -> None:
    assert [r.name for r in bound(MINE, "shipped: false\n").rules] == ["mine"]
    assert bound("shipped: false\n").rules == ()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["patch:\n  cpu_bsy: {above: 9}\n"], "0.yaml:2: patch of `cpu_bsy`: no shipped rule has this name; did you"),
        (
            ["patch:\n  cpu_busy:\n    for: 1m\n    above: x\n"],
            "0.yaml:4: patch of `cpu_busy`, above: Input should be a",
        ),
        (
            ["patch:\n  cpu_busy:\n    aboev: 9\n"],
            "0.yaml:3: patch of `cpu_busy`, aboev: unknown key; did you mean `above`",
        ),
        (
            ["patch:\n  cpu_busy:\n    for: 1m\n    above: 70\n"],
            "0.yaml:2: patch of `cpu_busy`: `leave` must lie on the",
        ),
        (["patch:\n  cpu_busy: {silent: true}\n"], "(it has metric and silent)"),
        (
            ["patch:\n  odd:\n    anomaly:\n      severity: bad\n"],
            "0.yaml:4: patch of `odd`, anomaly.severity: Input should",
        ),
        (["patch:\n  cpu_busy: {name: other}\n"], "0.yaml:2: patch of `cpu_busy`: a patch cannot give another name"),
        (["patch:\n  cpu_busy: 7\n"], "0.yaml:2: patch.cpu_busy: Input should be a valid dictionary"),
        (["patch: [cpu_busy]\n"], "0.yaml:1: patch: Input should be a valid dictionary"),
        (["patch:\n  odd: {}\n", "patch:\n  odd: {}\n"], "1.yaml:2: a second patch of `odd`"),
        (
            ["patch:\n  odd: {for: 1m}\n", "shipped: false\n"],
            "0.yaml:2: patch of `odd`: `shipped: false` leaves nothing",
        ),
        (["patch:\n  mine: {for: 1m}\n", MINE], "0.yaml:2: patch of `mine`: a rule of your own has this name"),
        (["shipped: maybe\n"], "0.yaml:1: shipped: Input should be a valid boolean"),
        (["patsh: {}\n"], "0.yaml:1: patsh: unknown key; did you mean `patch`?"),
    ],
)
def test_a_wrong_patch_is_named_with_its_line(texts: list[str], expected: str) -> None:
    assert expected in refusal(*texts)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = refusal("patch:\n  cpu_busy: {above: x}\n  nobody: {}\nrules:\n  - {name: A, title: t, silent: true}\n", "x")
    assert [line.split(": ")[0] for line in said.splitlines()] == ["0.yaml:5", "1.yaml:1"]


SCRAPS = (
    *("\t", "\n", ":", "-", "- ", "[", "{", "}", "'", '"', "#", "é", "\x00", "\u2028"),
    *("&a ", "*a", "!!x ", "null", "1e400"),
)


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 40), st.sampled_from(SCRAPS)), min_size=1, max_size=4),
    st.sampled_from([MINE, OURS, SHIPPED.read_text("utf-8"), "patch:\n  odd: {for: 1m, anomaly: {score: 2}}\n"]),
)
@settings(max_examples=200, deadline=None)
def test_whatever_happens_to_a_file_it_is_used_or_refused_with_lines(
    blows: list[tuple[int, int, str]], text: str
) -> None:
    for at, length, scrap in blows:
        at %= len(text) + 1
        text = text[:at] + scrap + text[at + length :]
    try:
        bind({"f.yaml": text}, OURS)
    except RulesError as error:
        assert all(re.match(r"f\.yaml:\d+: .|and \d+ more$", line) for line in str(error).splitlines()), str(error)


def test_the_detectors_findings_are_all_known() -> None:
    rooms = (Path(wording.__file__).parent / "findings").glob("*.py")
    named = {w.split('"')[1] for file in rooms for w in file.read_text().split("finding=")[1:] if w.startswith('"')}
    named |= {name for _, name, _ in wording._FINDINGS} | {"unusual", "network_spike", "network_drop"}
    assert named == set(FINDINGS)


# -- on disk -------------------------------------------------------------------------------------------------------


def test_a_file_that_changes_is_noticed_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    source = RuleSource(file)
    assert source.changed()  # nothing is loaded yet
    assert len(source.load().rules) == len(load_book(None).rules) + 1
    assert not source.changed()
    file.write_text(MINE.replace("mine", "more"))
    assert source.changed()
    assert source.load().rules[-1].name == "more"
    assert not source.changed()


def test_a_file_put_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    source = RuleSource(file)
    source.load()
    before = file.stat()
    (tmp_path / "new").write_text(MINE.replace("Mine", "mINE"))
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").replace(file)
    assert source.changed()


def test_files_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MINE)
    source = RuleSource(tmp_path)
    source.load()
    (tmp_path / "notes.txt").write_text("no rule")
    assert not source.changed()
    (tmp_path / "b.yaml").write_text(MINE.replace("mine", "more"))
    assert source.changed()
    source.load()
    (tmp_path / "a.yaml").unlink()
    assert source.changed()


def test_a_wrong_file_is_refused_with_its_reasons_until_it_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    source = RuleSource(file)
    source.load()
    file.write_text("rules: 7\nother: 8\n")
    with pytest.raises(RulesError):
        source.load()
    assert [p.removeprefix(f"{file}:")[0] for p in source.problems] == ["1", "2"]
    assert not source.changed()  # it is not tried again and again
    file.unlink()
    assert source.changed()
    with pytest.raises(RulesError, match="cannot be read: No such file"):
        source.load()
    assert not source.changed()
    file.write_text(MINE)
    assert source.changed()
    source.load()
    assert source.problems == ()


def test_without_a_path_nothing_changes() -> None:
    source = RuleSource(None)
    assert source.load() == load_book(None)
    assert not source.changed()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(RulesError, match=r"pipe\.yaml: cannot be read: not a file"):
        load_book(tmp_path / "pipe.yaml")


# -- in words ------------------------------------------------------------------------------------------------------


def test_rules_in_words() -> None:
    mine = """
rules:
  - {name: a, title: A, metric: disk.percent, above: 90, leave: 80, for: 5m, keep_firing_for: 1m, match: ['env="prod"']}
  - {name: b, title: B, forecast: {metric: memory.available_bytes, falls_to: 0, within: 2h}}
  - {name: c, title: C, absent: {metric: gpu.load, after: 10m}, enabled: false}
  - {name: d, title: D, anomaly: {severity: critical, findings: [disk_slow], score: 3}}
  - {name: e, title: E, silent: true}
  - {name: f, title: F, late: 90s}
"""
    said = {e.name: e for e in entries(bound(mine), 45_000)}
    assert said["a"].condition == ('disk.percent above 90.0 % for 5 min, until below 80.0 % for 1 min where env="prod"')
    assert said["b"].condition == "memory.available_bytes falls to 0 B within 2 h by the trend of the last 1 h"
    assert said["c"].condition == "no gpu.load for 10 min from a host that had it and speaks"
    assert said["d"].condition == "an anomaly of severity critical or worse of disk_slow with a score of at least 3"
    assert said["e"].condition == "nothing heard for 45 s"
    assert said["f"].condition == "what is judged is more than 1 min 30 s old"
    assert [said[n].watches for n in "abcdef"] == ["metric", "forecast", "absent", "anomaly", "silent", "late"]
    assert (said["c"].enabled, said["c"].metric, said["a"].source) == (False, "gpu.load", "0.yaml")
    assert said["cpu_busy"].source == "shipped"


def test_every_shipped_rule_has_words() -> None:
    shipped = load_book(None)
    assert len(entries(shipped)) == len(shipped.rules) == SHIPPED.read_text().count("- name:")


@pytest.mark.parametrize(
    ("regex", "equal", "text"), [(False, True, 'a="b\\"c"'), (False, False, 'a!="b\\"c"'), (True, False, 'a!~"b\\"c"')]
)
def test_matchers_are_written_as_alertmanager_does(regex: bool, equal: bool, text: str) -> None:
    assert written(Matcher(name="a", value='b"c', is_regex=regex, is_equal=equal)) == text


@pytest.mark.parametrize("value", ['/var/"x"', r"web\d+", "a\\b", "two words", "line\nend", ""])
@pytest.mark.parametrize("regex", [False, True])
def test_a_rule_reads_a_matcher_as_it_is_shown(value: str, regex: bool) -> None:
    meant = Matcher(name="a", value=value, is_regex=regex)
    assert matcher(written(meant)) == meant


# -- in the manual -------------------------------------------------------------------------------------------------

MANUAL = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text("utf-8")


def test_the_manuals_examples_can_be_used() -> None:
    blocks = [
        b for b in re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL) if re.search(r"^(rules:\n|patch:)", b, re.M)
    ]
    assert len(blocks) >= 2
    for block in blocks:
        bind({"alerts.md": block}, SHIPPED.read_text("utf-8"))


def test_the_manual_names_every_shipped_rule_and_its_severity() -> None:
    said = dict(re.findall(r"^\| `(\w+)` \|.*\| (\w+) \|$", MANUAL, re.M))
    assert said == {r.name: r.severity for r in load_book(None).enabled}


def test_a_refusal_is_one_line_whatever_it_quotes() -> None:
    text = "rules:\n  - name: a\n    title: A\n    metric: cpu.percent\n    above: 1\n    labels: {t\u2028 ops}\n"
    with pytest.raises(RulesError) as refused:
        bind({"f.yaml": text}, OURS)
    assert all(re.match(r"f\.yaml:\d+: ", line) for line in str(refused.value).splitlines())
