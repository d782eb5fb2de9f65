"""The routing file, the tree it makes, and what is refused of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from services.alerter.routing.file import SHIPPED, RoutingError, load_plan, parse
from services.alerter.routing.plan import Plan, setup_parts, with_entered
from services.alerter.routing.receiver import MailTo, Receiver, WebhookTo
from shared.alerting.routing import Router, group_labels, taken
from shared.runtime.settings import Settings
from shared.schemas.control import Matcher, ReceiverEntry, RouteEntry

WEBHOOK = Receiver(name="webhook", webhooks=[WebhookTo(url=SecretStr("https://hooks.example.org/T0P/s3cret"))])
EMAIL = Receiver(name="email", email=MailTo(to=["ops@example.org"]))
RECEIVERS = """
receivers:
  - {name: ops, email: {to: [ops@example.org]}}
  - {name: data, webhooks: [{url: "https://user:pw@data.example.org/hook", secret: s3cret}]}
  - {name: boss, apprise: [{url: "tgram://123:token/456"}]}
"""


def ways(plan: Plan, **labels: str) -> list[RouteEntry]:
    """The routes where such an alert ends and somebody is told."""
    return [route for route in (plan.routes[index] for index in taken(plan.routes, labels)) if route.receiver]


def routed(plan: Plan, **labels: str) -> list[str]:
    return [route.receiver for route in ways(plan, **labels)]


def refusal(text: str) -> list[str]:
    with pytest.raises(RoutingError) as refused:
        parse("routing.yaml", text)
    return str(refused.value).splitlines()


# -- the short settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("short", [[], [WEBHOOK], [EMAIL], [WEBHOOK, EMAIL]])
def test_the_shipped_file_tells_everything_to_whom_the_short_settings_name(short: list[Receiver]) -> None:
    plan = parse("shipped.yaml", SHIPPED.read_text(), short)
    for severity in ("warning", "critical"):
        assert routed(plan, severity=severity) == [r.name for r in short]
    urgent = ways(plan, severity="critical")
    assert {(r.group_wait_ms, r.group_interval_ms, r.repeat_interval_ms) for r in urgent} <= {(0, 10_000, 14_400_000)}
    usual = ways(plan, severity="warning")
    assert {(r.group_wait_ms, r.group_interval_ms) for r in usual} <= {(5000, 30_000)}


OWN = """
route:
  routes:
    - {match: [team="data"], receiver: data, routes: [{match: [severity="critical"], group_wait: 0s}]}
    - match: [team="web"]
      routes: [{match: [severity="critical"], receiver: boss}]
"""


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"team": "data"}, ["data"]),
        ({"team": "data", "severity": "critical"}, ["data"]),
        ({"team": "web"}, ["webhook", "email"]),
        ({"team": "web", "severity": "critical"}, ["boss"]),
        ({}, ["webhook", "email"]),
    ],
)
@pytest.mark.parametrize("continues", [False, True])
def test_whom_a_route_names_itself_is_there_once_beside_both_short_settings(
    labels: dict[str, str], told: list[str], continues: bool
) -> None:
    more = "    - {match: [team=nobody], receiver: data, continue: true}\n" if continues else ""
    plan = parse("routing.yaml", OWN + more + RECEIVERS, [WEBHOOK, EMAIL])
    found = routed(plan, **labels)
    assert sorted(set(found)) == sorted(told)
    # Beside a route that continues the whole tree is there for each of them; its receivers are told once all the same.
    assert continues or found == told
    (index, *_) = taken(plan.routes, labels)
    steps = "".join(f'/{{{name}="{value}"}}' for name, value in labels.items())
    assert Router(plan.routes).group_key(index, {}) == "{}" + steps + ":{}"


def test_the_settings_make_the_receivers(tmp_path: Path) -> None:
    alerter = {"webhook_url": "http://127.0.0.1:1/", "email_to": ["a@b"], "webhook_secret": SecretStr("x")}
    plan = load_plan(Settings.model_validate({"alerter": alerter}))
    assert list(plan.receivers) == ["webhook", "email"]
    mine = tmp_path / "routing.yaml"
    mine.write_text("route: {receiver: email}")
    plan = load_plan(Settings.model_validate({"alerter": {**alerter, "routing": mine}}))
    assert routed(plan, severity="critical") == ["email"]
    with pytest.raises(RoutingError, match=r"gone\.yaml: cannot be read: No such file"):
        load_plan(Settings.model_validate({"alerter": {"routing": tmp_path / "gone.yaml"}}))


# -- the tree --------------------------------------------------------------------------------------------------

TREE = """
route:
  receiver: ops
  group_by: [alertname, site]
  quiet: [night]
  routes:
    - match: [team="data"]
      receiver: data
      group_wait: 1m
      routes:
        - {match: ['severity="critical"'], continue: true, receiver: boss, quiet: []}
        - {match: ['severity=~"critical|warning"']}
    - {match: [env!="prod"], receiver: data, group_by: [...]}
quiet_hours:
  - name: night
    zone: Europe/Berlin
    days: [mon, tue]
    from: "22:00"
    to: "07:00"
    lets_through: ['severity="critical"']
"""


def test_routes_are_taken_and_inherited_as_alertmanager_does() -> None:
    plan = parse("routing.yaml", TREE + RECEIVERS)
    assert routed(plan, env="prod") == ["ops"]
    assert routed(plan, env="test") == ["data"]
    assert routed(plan, team="data", severity="critical") == ["boss", "data"]
    assert routed(plan, team="data", severity="info") == ["data"]
    boss, _ = ways(plan, team="data", severity="critical")
    assert (boss.group_wait_ms, boss.group_interval_ms, boss.group_by, boss.quiet) == (
        60_000,
        300_000,
        ["alertname", "site"],
        [],
    )


def test_a_group_is_named_by_its_way_through_the_tree_and_what_its_alerts_have_in_common() -> None:
    plan = parse("routing.yaml", TREE + RECEIVERS)
    labels = {"team": "data", "severity": "warning", "alertname": "x"}
    (index,) = taken(plan.routes, labels)
    common = group_labels(plan.routes[index], labels)
    assert common == {"alertname": "x", "site": ""}
    key = '{}/{team="data"}/{severity=~"critical|warning"}:{alertname="x", site=""}'
    assert Router(plan.routes).group_key(index, common) == key


def test_the_setup_says_it_without_secrets() -> None:
    parts = setup_parts(parse("routing.yaml", TREE + RECEIVERS, [WEBHOOK]))
    assert [(r.name, r.channels, r.target) for r in parts.receivers] == [
        ("webhook", ["webhook"], "https://hooks.example.org"),
        ("ops", ["email"], "ops@example.org"),
        ("data", ["webhook"], "https://data.example.org"),
        ("boss", ["apprise"], "tgram://"),
    ]
    (night,) = parts.quiet_hours
    assert (night.days, night.begins, night.ends) == ([0, 1], 22 * 60, 7 * 60)


# -- receivers entered through the API -------------------------------------------------------------------------


def entry(name: str, **more: object) -> ReceiverEntry:
    return ReceiverEntry.model_validate(
        {"event_id": name, "ts": 1, "id": name, "channel": "webhook", "target": "http://x/"} | more
    )


def test_what_was_entered_subscribes_beside_those_who_were_told_before() -> None:
    plan = parse("routing.yaml", TREE + RECEIVERS)
    mine = entry("mine", matchers=[Matcher(name="team", value="data")])
    both = with_entered(plan, [mine, entry("all", channel="email", target="a@b, c@d")])
    assert routed(both, env="prod") == ["all", "ops"]
    assert routed(both, team="data", severity="critical") == ["mine", "all", "boss", "data"]
    assert not both.receivers["mine"].trusted
    assert both.receivers["all"].email == MailTo(to=["a@b", "c@d"])


def test_what_was_entered_is_told_as_fast_as_others_and_at_any_hour() -> None:
    shipped = parse("shipped.yaml", SHIPPED.read_text())
    plan = with_entered(shipped, [entry("mine")])
    assert routed(plan, severity="critical") == ["mine"]
    (way,) = ways(plan, severity="critical")
    assert (way.group_wait_ms, way.group_interval_ms) == (0, 10_000)


@pytest.mark.parametrize("bad", [entry("ops"), entry("a#b"), entry("c", channel="email", target=",")])
def test_what_cannot_be_a_receiver_or_has_another_ones_name_changes_nothing(bad: ReceiverEntry) -> None:
    plan = parse("routing.yaml", TREE + RECEIVERS)
    assert with_entered(plan, [bad]) == plan


# -- refusals --------------------------------------------------------------------------------------------------


def test_everything_wrong_is_said_at_once_with_its_line() -> None:
    text = """\
route:
  receiver: opps
  match: [a="b"]
  continue: true
  quiet: [nigth]
  routes:
    - receiver: boss
      escalate: [{after: 15m, receiver: bos}]
receivers:
  - name: ops
    email: {to: [ops@example.org]}
  - name: boss
  - {name: ops, email: {to: [x@example.org]}, trusted: false}
quiet_hours:
  - {name: night, zone: Europe/Berln, from: "22:00", to: "22:00"}
"""
    assert sorted(refusal(text)) == [
        "routing.yaml:12: receiver `boss` has no channel: give it `email`, `webhooks` or `apprise`",
        "routing.yaml:13: a second one named `ops`",
        "routing.yaml:13: is not for files: leave it out",
        "routing.yaml:15: is the same as `from`; for whole days write 00:00, 24:00",
        "routing.yaml:15: unknown zone `Europe/Berln`; did you mean `Europe/Berlin`?",
        "routing.yaml:2: there is no receiver `opps`; did you mean `ops`?",
        "routing.yaml:3: the root is for everything: put matchers on its `routes`",
        "routing.yaml:4: the root has no siblings to continue with",
        "routing.yaml:5: there are no quiet hours `nigth`; did you mean `night`?",
        "routing.yaml:8: there is no receiver `bos`; did you mean `boss`?",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("route: {recever: ops}", "routing.yaml:1: route.recever: unknown key; did you mean `receiver`?"),
        ("route: {group_wait: soon}", "`soon` is not a duration"),
        ("route: {group_interval: 0s}", "greater than or equal to 1000"),
        ("route:\n  routes:\n    - {match: [x]}", "routing.yaml:3: route.routes.0.match.0: must be written"),
        ("route: {group_by: [..., host]}", "stands alone"),
        ("route: {escalate: [{after: 1h, receiver: a}, {after: 1h, receiver: a}]}", "later than the one before"),
        ("route: {escalate: [1, 2, 3]}", "at most 2 items"),
        ('quiet_hours: [{name: n, zone: UTC, from: 22:00, to: "7:00"}]', "must be a time of the day in quotes"),
        ('quiet_hours: [{name: n, zone: UTC, days: [monday], from: "22:00", to: "07:00"}]', "'mon', 'tue'"),
        ("receivers: [{name: a, email: {to: []}}]", "at least 1 item"),
        ("receivers: [{name: a, webhooks: [{secret: x}]}]", "exactly one of `url` and `url_file`"),
        ('receivers: [{name: "a#b", email: {to: [x]}}]', "must be"),
        ("receivers: [{name: a, email: {to: [x]}}]", "must have a `receiver`, one of `a`"),
        ("inhibit_rules: [{source: [a=b]}]", "Field required"),
        ("flapping: {times: 1}", "greater than or equal to 2"),
        ("route: &r {routes: [*r]}", "nested too deeply"),
        ("route: [", "not YAML"),
        ("- a", "must be a mapping of `route:`, `receivers:`"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason(text: str, reason: str) -> None:
    assert reason in refusal(text)[0]


@pytest.mark.parametrize("parent", [-1, 1, 2, 7])
def test_what_comes_from_a_topic_may_be_no_tree(parent: int) -> None:
    """A node that hangs on nothing before it is taken by nobody, nor is what hangs on it."""
    routes = [RouteEntry(parent=p, receiver=r) for p, r in ((-1, "root"), (parent, "lost"), (1, "below"))]
    assert taken(routes, {}) == [0]
