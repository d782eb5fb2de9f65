"""``lapwing rules``, as a person calls it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.__main__ import main
from services.alerter.rules.book import parse
from services.alerter.rules.files import load_book
from services.rules.cover import Seen, covered
from services.rules.trial import MOST_STEPS

MINE = """
rules:
  - name: database_disk
    title: Database disk is filling up
    metric: disk.percent
    above: 80
    match: ['mountpoint=~"/var/.*"']
patch:
  cpu_busy: {above: 95}
  swap_filling: {enabled: false}
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPWING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("LAPWING_ALERTER__RULES", raising=False)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    return file


Said = pytest.CaptureFixture[str]


def lapwing(capsys: Said, *arguments: object) -> tuple[int, str, str]:
    status = main(["rules", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


# -- check ---------------------------------------------------------------------------------------------------------


def test_ours_can_be_used(capsys: Said) -> None:
    many = len(load_book(None).rules)
    assert lapwing(capsys, "check") == (
        0,
        f"{many} rules are in force: {many} of ours (0 patched), 0 of your own\n",
        "",
    )


def test_what_is_in_force_is_counted_and_listed(capsys: Said, mine: Path) -> None:
    status, out, _ = lapwing(capsys, "check", mine, "--list")
    many = len(load_book(None).rules)
    first, *rest = out.splitlines()
    assert status == 0
    assert first == f"{many} rules are in force: {many} of ours (2 patched), 1 of your own, less 1 switched off"
    lines = {line.split()[0]: line for line in rest}
    assert "cpu.percent above 95.0 %" in lines["cpu_busy"] and "patched in" in lines["cpu_busy"]
    assert lines["swap_filling"].split()[1] == "off"
    assert lines["database_disk"].endswith(f'where mountpoint=~"/var/.*"  [{mine}]')


def test_the_settings_rules_are_checked_when_none_are_named(
    capsys: Said, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPWING_ALERTER__RULES", str(mine))
    assert "1 of your own" in lapwing(capsys, "check")[1]


def test_every_mistake_is_a_line_and_the_status_two(capsys: Said, mine: Path) -> None:
    mine.write_text("rules:\n  - {name: a, title: t}\n  - {name: b, title: t, silent: x}\n")
    status, out, err = lapwing(capsys, "check", mine)
    assert (status, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"lapwing: {mine}:2: rule `a`: must have exactly one condition")
    assert second == f"lapwing: {mine}:3: rule `b`, silent: `x` is not a duration; write `30s`, `5m` or `1h`"


# -- test ----------------------------------------------------------------------------------------------------------

GOOD = """
interval: 10s
tests:
  - name: a busy machine pages once and it ends
    series:
      - {host: web1, metric: cpu.percent, values: "10x5 95x40 10x10", labels: {env: prod}}
    expect:
      - {at: 80s, firing: [], pending: [{rule: cpu_busy}]}
      - {at: 2m, firing: [{rule: cpu_busy, host: web1, severity: warning, labels: {env: prod}}]}
      - {at: 9m, rule: cpu_busy, firing: []}
  - name: a silent host
    series:
      - {host: web1, metric: cpu.modes_are_not_needed, values: "1x3"}
    expect:
      - {at: 80s, firing: []}
      - {at: 2m, firing: [{rule: host_silent}]}
  - name: everything else that can be said
    interval: 1m
    series:
      - {host: web1, metric: disk.percent, instance: /, values: "50+0.5x99"}
      - {host: web1, metric: gpu.temperature, instance: 0, values: "95x9 40x90"}
      - {host: web1, metric: cpu.iowait, values: 0x99}
    anomalies:
      - {host: web1, at: 20m, until: 30m, finding: crash_loop, severity: critical}
    expect:
      - {at: 5m, firing: [{rule: gpu_hot, instance: 0, summary: "GPU is too hot on web1 0: 95.0 °C (limit 90.0 °C)"}]}
      - {at: 25m, firing: [{rule: crash_loop}]}
      - {at: 40m, firing: []}
      - {at: 90m, firing: [{rule: disk_full_soon, labels: {mountpoint: /}}, {rule: disk_filling, severity: warning}]}
""".replace("cpu.modes_are_not_needed", "cpu.percent")


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    file = tmp_path / "rules_test.yaml"
    file.write_text(GOOD)
    return file


def test_tests_that_hold(capsys: Said, tests: Path) -> None:
    status, out, err = lapwing(capsys, "test", tests)
    assert (status, err) == (0, ""), out
    assert out.splitlines()[0] == f"ok      {tests}: a busy machine pages once and it ends"
    assert out.splitlines()[-1] == "3 test(s), 0 failed"


def test_what_is_otherwise_is_shown_both_ways(capsys: Said, tests: Path) -> None:
    tests.write_text("""
tests:
  - name: wrong
    series:
      - {host: web1, metric: disk.percent, instance: /var, values: "99x20"}
    expect:
      - {at: 1m, rule: disk_full, firing: [{host: web1, instance: /}]}
""")
    status, out, _ = lapwing(capsys, "test", tests)
    assert status == 1
    assert out == (
        f"FAILED  {tests}: wrong\n"
        "        at 1 min, firing of disk_full:\n"
        "          - host=web1 instance=/\n"
        "          + rule=disk_full severity=critical: Disk is almost full on web1 /var: 99.0 % (limit 98.0 %)\n"
        "1 test(s), 1 failed (- expected, + found)\n"
    )


def test_the_rules_beside_the_test_are_tested(capsys: Said, tests: Path, mine: Path) -> None:
    tests.write_text("""
rules: mine.yaml
tests:
  - name: only where data is
    series:
      - {host: db1, metric: disk.percent, instance: /var/lib/pg, values: "85x9"}
      - {host: db1, metric: disk.percent, instance: /, values: "85x9"}
    expect:
      - {at: 1m, firing: [{rule: database_disk, instance: /var/lib/pg}]}
""")
    assert lapwing(capsys, "test", tests)[0] == 0
    mine.write_text("rules: 7")
    status, _, err = lapwing(capsys, "test", tests)
    assert (status, f"{mine}:1: rules:" in err) == (2, True)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            "cpu.percent",
            "cpu.percnt",
            ":6: test `a busy machine pages once and it ends`, series.0.metric: unknown metric",
        ),
        ('"10x5 95x40 10x10"', "ten", "series.0.values: `ten` is no value"),
        ("at: 80s", "at: soon", "expect.0.at: `soon` is not a duration"),
        ("firing:", "fired:", "expect.0.fired: unknown key; did you mean `firing`?"),
        ("instance: /,", "", "`disk.percent` needs an `instance`, its mountpoint"),
        ("metric: cpu.iowait", "metric: cpu.iowait, instance: x", "`cpu.iowait` has no instances"),
        ("at: 9m", f"at: {MOST_STEPS // 3600 + 600}h", "takes more than 200000 steps"),
        (
            "rule: cpu_busy,",
            "rule: cpu_bsy,",
            ":4: test `a busy machine pages once and it ends`: there is no rule `cpu_bsy`, or it is switched off",
        ),
        (GOOD, "tests: []", "tests: List should have at least 1 item"),
        (GOOD, "", ":1: must be a mapping of `rules:`, `interval:`, `host_silent_after:`, `tests:`"),
    ],
)
def test_tests_that_are_wrong_are_refused(capsys: Said, tests: Path, old: str, new: str, why: str) -> None:
    assert old in GOOD
    tests.write_text(GOOD.replace(old, new, 1))
    status, out, err = lapwing(capsys, "test", tests)
    assert (status, out) == (2, "")
    assert why in err


def test_the_manuals_example_holds(capsys: Said, tests: Path) -> None:
    manual = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text("utf-8")
    (block,) = [b for b in re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL) if "\ntests:\n" in b]
    (tests.parent / "rules.yaml").write_text("patch: {cpu_busy: {above: 95}}\n")
    tests.write_text(block)
    assert lapwing(capsys, "test", tests)[:2] == (
        0,
        f"ok      {tests}: a busy machine pages once, and it ends\n1 test(s), 0 failed\n",
    )


def test_no_file_is_bad_input(capsys: Said, tmp_path: Path) -> None:
    status, _, err = lapwing(capsys, "test", tmp_path / "none.yaml")
    assert (status, err) == (2, f"lapwing: {tmp_path}/none.yaml: cannot be read: No such file or directory\n")


# -- cover ---------------------------------------------------------------------------------------------------------

HOSTS = [
    {"id": "1", "name": "web1", "labels": {"env": "prod"}},
    {"id": "2", "name": "db1", "labels": {"env": "test"}},
]
SERIES = {
    "cpu.percent": [("1", {}), ("2", {})],
    "disk.percent": [("1", {"mountpoint": "/"}), ("2", {"mountpoint": "/"}), ("2", {"mountpoint": "/var/lib/pg"})],
}


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        data: Any = HOSTS
        status = 200 if self.headers["Authorization"] == "Bearer secret" else 401
        if url.path == "/api/system/history/":
            asked = parse_qs(url.query)
            found = SERIES.get(asked["metric"][0], []) if asked["host"] == ["*"] else []
            data = {"series": [{"host_id": h, "labels": labels, "points": [[0, 60.0]]} for h, labels in found]}
        body = {"success": status == 200, "code": status, "message": "not allowed", "data": data}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("secret\n")
    return file


def test_what_would_page_me(capsys: Said, api: str, token: Path, mine: Path) -> None:
    status, out, err = lapwing(capsys, "cover", "--url", api, "--token-file", token, "--rules", mine)
    assert (status, err) == (0, "")
    lines = {line.split()[0]: line.split(maxsplit=2)[2] for line in out.split("\n\n")[0].splitlines()}
    assert lines["cpu_busy"] == "2 of 2: db1, web1"
    assert lines["disk_full"] == "2 of 2: db1 (/, /var/lib/pg), web1 (/)"
    assert lines["database_disk"] == "1 of 2: db1 (/var/lib/pg)"
    assert lines["gpu_hot"] == "nobody"
    assert lines["monitoring_late"] == "the monitoring itself"
    assert "swap_filling" not in lines
    assert out.endswith("\n\n2 host(s)\n")


def test_what_would_page_me_about_one_host(capsys: Said, api: str, token: Path, mine: Path) -> None:
    _, out, _ = lapwing(capsys, "cover", "--url", api, "--token-file", token, "--rules", mine, "--host", "db1")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["database_disk"].endswith('disk.percent above 80.0 % where mountpoint=~"/var/.*" (/var/lib/pg)')
    assert {"gpu_hot", "monitoring_late"} & set(lines) == set()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--url", "{api}"], "--url and --token-file belong together"),
        (["--url", "ftp://x", "--token-file", "{token}"], "--url: 'ftp://x' must begin with `https://` or `http://`"),
        (["--url", "http://127.0.0.1:9", "--token-file", "{token}"], "does not answer"),
        (["--url", "{api}", "--token-file", "{wrong}"], "not allowed"),
        (["--url", "{api}", "--token-file", "{token}", "--host", "x"], "--host: nobody called 'x' has reported"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line(
    capsys: Said, api: str, token: Path, tmp_path: Path, arguments: list[str], why: str
) -> None:
    (tmp_path / "wrong").write_text("other")
    given = [a.format(api=api, token=token, wrong=tmp_path / "wrong") for a in arguments]
    status, out, err = lapwing(capsys, "cover", *given)
    assert (status, out) == (2, "")
    assert why in err and err.count("\n") == 1


def test_labels_of_hosts_decide_too() -> None:
    (rule,) = parse({"f": "rules:\n  - {name: a, title: t, silent: true, match: ['env=\"prod\"', 'host!=\"x\"']}\n"})
    hosts = [Seen("1", "web1", {"env": "prod"}, {}), Seen("2", "x", {"env": "prod"}, {}), Seen("3", "y", {}, {})]
    assert [c.host.name for c in covered(rule, hosts)] == ["web1"]
