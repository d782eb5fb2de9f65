"""Whom the notifier bothers, about what, and when."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest

from services.alerter.notification.inhibition import LINGER_MS
from services.alerter.notification.notification import Notification
from services.alerter.notification.notifier import UNANSWERED_MS
from services.alerter.routing import file as routing_file
from services.alerter.routing.file import SHIPPED as FILE
from services.alerter.routing.file import parse
from services.alerter.routing.receiver import MailTo, Receiver
from shared.schemas.alert import DeliveryOutcome
from shared.schemas.control import ReceiverEntry, Trial
from tests.unit.alerter.desk import HOUR, MINUTE, SECOND, START, Desk, fingerprint, of, plan, said, taken
from tests.unit.alerter.support import alert

# -- groups ----------------------------------------------------------------------------------------------------


def test_alerts_of_a_group_wait_for_each_other() -> None:
    desk = Desk()
    desk.fire("a")
    desk.wait(10 * SECOND)
    desk.fire("b", host_id="h2")
    desk.fire("c", rule="disk_full")
    assert desk.wait(19 * SECOND) == []
    assert said(desk.wait(2 * SECOND)) == [("ops", "first", "+a +b")]
    assert said(desk.wait(10 * SECOND)) == [("ops", "first", "+c")]


def test_a_group_that_spoke_waits_before_it_speaks_of_changes() -> None:
    desk = Desk()
    fired = desk.fire("a")
    desk.wait(MINUTE)
    desk.fire("b")
    desk.end(fired)
    assert desk.wait(4 * MINUTE) == []
    assert said(desk.wait(MINUTE)) == [("ops", "changed", "+b -a")]


def test_a_message_says_apart_what_is_new_and_what_its_receiver_knows() -> None:
    desk = Desk()
    desk.fire("a")
    second = desk.fire("b", host_id="h2")
    desk.wait(MINUTE)
    desk.fire("c", host_id="h3")
    (changed,) = desk.wait(5 * MINUTE)
    assert news_and_known(changed) == ("c", "a b")
    desk.worsen(second, severity="critical")
    (worse,) = desk.wait(6 * MINUTE)
    assert news_and_known(worse) == ("b", "a c")
    desk.end(second)
    (over,) = desk.wait(6 * MINUTE)
    assert news_and_known(over) == ("", "a c")
    assert [news_and_known(n) for n in desk.wait(4 * HOUR)][:1] == [("a c", "")], "a repeat is about all of it"


def news_and_known(n: Notification) -> tuple[str, str]:
    return " ".join(sorted(a.alert_id for a in n.news)), " ".join(sorted(a.alert_id for a in n.known))


def test_a_group_where_all_was_told_as_over_begins_anew() -> None:
    desk = Desk(plan("route: {receiver: ops, group_by: [alertname], group_wait: 0s, group_interval: 10s}"))
    fired = desk.fire("a")
    desk.end(fired)
    assert said(desk.wait(10 * SECOND)) == [("ops", "resolved", "-a")]
    desk.fire("b")
    assert said(desk.sent) == [("ops", "first", "+a"), ("ops", "resolved", "-a"), ("ops", "first", "+b")]


def test_what_goes_on_is_repeated() -> None:
    desk = Desk()
    desk.fire("a")
    desk.wait(MINUTE)
    assert desk.wait(4 * HOUR - 31 * SECOND) == []
    assert said(desk.wait(SECOND)) == [("ops", "repeat", "+a")]
    assert said(desk.wait(8 * HOUR)) == [("ops", "repeat", "+a")] * 2


def test_a_repeat_has_an_id_of_its_own() -> None:
    desk = Desk()
    desk.fire("a")
    desk.wait(13 * HOUR)
    assert len({n.id for n in desk.sent}) == len(desk.sent) == 4


def test_what_ended_before_anybody_was_told_is_never_told() -> None:
    desk = Desk()
    desk.end(desk.fire("a"))
    assert desk.wait(9 * HOUR) == []
    assert desk.notifier.next_due() is None


def test_a_receiver_may_not_care_for_ends() -> None:
    given = plan("route: {receiver: ops, group_wait: 0s}")
    given.receivers["ops"] = given.receivers["ops"].model_copy(update={"send_resolved": False})
    desk = Desk(given)
    desk.end(desk.fire("a"))
    assert said(desk.wait(HOUR)) == []
    assert said(desk.sent) == [("ops", "first", "+a")]


def test_repeats_and_old_news_change_nothing() -> None:
    desk = Desk()
    desk.end(desk.fire("a"))
    fired = desk.fire("b")
    desk.wait(MINUTE)
    for event in list(desk.topic):
        desk.notifier.hear(event)
    desk.settle()
    desk.end(fired)
    desk.wait(HOUR)
    for event in list(desk.topic):
        desk.notifier.hear(event)
    desk.settle()
    assert said(desk.sent) == [("ops", "first", "+b"), ("ops", "resolved", "-b")]
    assert desk.wait(9 * HOUR) == []


def test_one_receiver_by_two_ways_is_told_once() -> None:
    desk = Desk(plan("route: {receiver: ops, routes: [{continue: true}, {group_by: [host]}]}"))
    desk.fire("a")
    assert said(desk.wait(HOUR)) == [("ops", "first", "+a")]


# -- deliveries ------------------------------------------------------------------------------------------------


def test_what_was_given_up_is_tried_again_after_a_while() -> None:
    answers: list[DeliveryOutcome] = ["gave_up", "gave_up", "delivered"]
    desk = Desk(answer=lambda n: answers.pop(0))
    desk.fire("a")
    desk.wait(MINUTE)
    assert said(desk.wait(10 * MINUTE)) == [("ops", "first", "+a")] * 2
    assert desk.wait(3 * HOUR) == []
    assert len({n.id for n in desk.sent}) == 1


def test_what_was_refused_is_tried_again_when_it_would_be_repeated() -> None:
    desk = Desk(answer=lambda n: "permanent_failure")
    desk.fire("a")
    assert said(desk.wait(3 * HOUR)) == [("ops", "first", "+a")]
    assert said(desk.wait(2 * HOUR)) == [("ops", "first", "+a")]


def test_an_end_does_not_overtake_a_beginning_that_is_under_way() -> None:
    desk = Desk(answer=lambda n: None)
    fired = desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.end(fired)
    assert desk.wait(8 * MINUTE) == []
    desk.answer = lambda n: "delivered"
    desk.hear(desk.delivery(first, "delivered"))
    assert said(desk.wait(10 * MINUTE)) == [("ops", "resolved", "-a")]


def test_a_beginning_that_never_arrived_has_no_end() -> None:
    desk = Desk(answer=lambda n: None)
    fired = desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.end(fired)
    desk.hear(desk.delivery(first, "gave_up"))
    assert desk.wait(9 * HOUR) == []


def test_what_was_never_answered_is_decided_again_under_the_same_id() -> None:
    desk = Desk(answer=lambda n: None)
    desk.fire("a")
    desk.wait(MINUTE)
    assert desk.wait(UNANSWERED_MS - MINUTE) == []
    desk.wait(MINUTE)
    first, second = desk.sent
    assert first.id == second.id


def test_what_is_still_being_tried_is_not_decided_again() -> None:
    desk = Desk(answer=lambda n: None)
    desk.fire("a")
    (first,) = desk.wait(MINUTE)
    for _ in range(4):
        desk.wait(UNANSWERED_MS - MINUTE)
        desk.hear(desk.delivery(first, "temporary_failure"))
    assert len(desk.sent) == 1


def two_ways() -> Desk:
    given = plan()
    given.receivers["ops"] = given.receivers["ops"].model_copy(update={"webhooks": [object()]})
    return Desk(given, answer=lambda n: None)


def test_a_channel_that_refuses_what_another_took_holds_nothing_up() -> None:
    desk = two_ways()
    fired = desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "email"))
    desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "permanent_failure", "webhook"))
    desk.wait(10 * MINUTE)
    desk.answer = taken
    worse = desk.worsen(fired, severity="critical")
    assert said(desk.sent[1:]) == [("ops", "worsened", "+a")]
    desk.end(worse)
    assert said(desk.wait(6 * MINUTE)) == [("ops", "resolved", "-a")]


def by(notifications: list[Notification]) -> list[tuple[str, str]]:
    return [(n.channel or "all", " ".join(f"+{a.alert_id}" for a in n.firing)) for n in notifications]


def test_what_one_way_did_not_take_and_another_did_is_told_again_by_that_way_alone() -> None:
    desk = two_ways()
    desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "webhook"), desk.delivery(first, "gave_up", "email"))
    (second,) = desk.wait(6 * MINUTE)
    assert by([second]) == [("email", "+a")]
    assert (second.occasion, second.id) == ("first", first.id), "if it arrived after all, it is the same mail"
    desk.hear(desk.delivery(second, "gave_up", "email"))
    (third,) = desk.wait(6 * MINUTE)
    assert third.id == second.id
    desk.hear(desk.delivery(third, "delivered", "email"))
    assert desk.wait(3 * HOUR) == []


def test_what_one_way_gave_up_before_another_took_it_is_owed_too() -> None:
    desk = two_ways()
    desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "gave_up", "email"))
    assert desk.wait(8 * MINUTE) == []
    desk.hear(desk.delivery(first, "delivered", "webhook"))
    assert by(desk.wait(6 * MINUTE)) == [("email", "+a")]


def test_what_one_way_owes_holds_up_no_news_and_is_told_with_it() -> None:
    desk = two_ways()
    fired = desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "webhook"), desk.delivery(first, "gave_up", "email"))
    desk.wait(6 * MINUTE)
    worse = desk.worsen(fired, severity="critical")
    news = desk.sent[-1]
    assert (news.occasion, news.channel) == ("worsened", "")
    desk.hear(desk.delivery(news, "delivered", "webhook"), desk.delivery(news, "delivered", "email"))
    assert desk.wait(3 * HOUR) == []
    desk.end(worse)
    assert said(desk.wait(6 * MINUTE)) == [("ops", "resolved", "-a")]


def test_what_several_alerts_owe_is_one_message() -> None:
    desk = two_ways()
    sent = []
    for name in "ab":
        desk.fire(name)
        sent += desk.wait(6 * MINUTE)
    for n in sent:
        desk.hear(desk.delivery(n, "delivered", "webhook"), desk.delivery(n, "gave_up", "email"))
        desk.wait(SECOND)
    assert by(desk.wait(6 * MINUTE)) == [("email", "+a +b")]


def test_what_one_way_owes_is_no_known_thing() -> None:
    """Whom the mail did not reach is not to find it there as a line among what is known."""
    desk = two_ways()
    desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "webhook"), desk.delivery(first, "temporary_failure", "email"))
    desk.fire("b")
    (second,) = desk.wait(5 * MINUTE)
    assert (second.channel, news_and_known(second)) == ("", ("a b", ""))


def test_what_every_way_told_is_not_owed_because_it_stood_beside_news_that_failed() -> None:
    desk = two_ways()
    desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "webhook"), desk.delivery(first, "delivered", "email"))
    desk.fire("b")
    (second,) = desk.wait(6 * MINUTE)
    assert said([second]) == [("ops", "changed", "+b +a")]
    desk.hear(desk.delivery(second, "delivered", "webhook"), desk.delivery(second, "gave_up", "email"))
    assert by(desk.wait(6 * MINUTE)) == [("email", "+b")]


def test_the_end_is_owed_by_the_way_that_told_the_beginning() -> None:
    desk = two_ways()
    fired = desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "webhook"), desk.delivery(first, "delivered", "email"))
    desk.end(fired)
    (over,) = desk.wait(6 * MINUTE)
    desk.hear(desk.delivery(over, "delivered", "webhook"), desk.delivery(over, "gave_up", "email"))
    (again,) = desk.wait(6 * MINUTE)
    assert (again.channel, again.id, said([again])) == ("email", over.id, [("ops", "resolved", "-a")])
    desk.succeed()
    again = desk.sent[-1]
    assert (again.channel, again.id, len(desk.sent)) == ("email", over.id, 4)
    desk.hear(desk.delivery(again, "delivered", "email"))
    assert desk.wait(9 * HOUR) == []


def test_what_is_over_or_in_hand_is_owed_to_nobody() -> None:
    desk = two_ways()
    ended, mine = desk.fire("a"), desk.fire("b")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "webhook"), desk.delivery(first, "gave_up", "email"))
    desk.answer = taken
    desk.ack(mine)
    desk.end(ended)
    assert said(desk.wait(HOUR)) == [("ops", "resolved", "-a")]


def test_a_way_that_refuses_for_good_or_is_gone_owes_nothing() -> None:
    desk = two_ways()
    desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "webhook"), desk.delivery(first, "gave_up", "email"))
    (second,) = desk.wait(6 * MINUTE)
    desk.hear(desk.delivery(second, "permanent_failure", "email"))
    assert desk.wait(3 * HOUR) == []


def test_a_successor_goes_on_with_what_one_way_had_not_taken_yet() -> None:
    desk = two_ways()
    desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "delivered", "webhook"), desk.delivery(first, "temporary_failure", "email"))
    assert desk.wait(4 * MINUTE) == []
    desk.succeed()
    assert by(desk.wait(2 * MINUTE)) == [("email", "+a")]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_fails_every_way_has_told_what_fires_in_the_end_and_once(seed: int) -> None:
    rng = random.Random(seed)
    desk = two_ways()
    knows: dict[str, list[str]] = {"email": [], "webhook": []}
    over: dict[str, list[str]] = {"email": [], "webhook": []}
    outcomes: list[DeliveryOutcome] = ["delivered", "gave_up", "temporary_failure"]

    def answer(n: Notification) -> None:
        for channel in [n.channel] if n.channel else knows:
            outcome = rng.choice(outcomes)
            desk.hear(desk.delivery(n, outcome, channel))
            if outcome == "delivered":
                knows[channel] += [a.alert_id for a in n.firing]
                over[channel] += [a.alert_id for a in n.resolved]

    desk.answer = answer
    fires = {}
    for number in range(25):
        if not fires or rng.random() < 0.5:
            fires[f"a{number}"] = desk.fire(f"a{number}", host_id=f"h{number}", rule=rng.choice(["x", "y"]))
        elif rng.random() < 0.5:
            desk.end(fires.pop(rng.choice(sorted(fires))))
        if rng.random() < 0.1:
            desk.succeed()
        desk.wait(rng.choice([SECOND, MINUTE, 20 * MINUTE]))
    outcomes[:] = ["delivered"]
    desk.wait(40 * MINUTE)
    assert {channel: set(fires) - set(told) for channel, told in knows.items()} == {channel: set() for channel in knows}
    for channel, told in knows.items():
        assert set(told) - set(fires) <= set(over[channel]), "who knows of a beginning is told of the end"
        told.clear()
    desk.wait(40 * MINUTE)
    for told in knows.values():
        assert len(told) == len(set(told)), "only a repeat that is due"


def test_a_successor_tries_again_what_one_channel_refused_and_the_other_has_not_answered() -> None:
    desk = two_ways()
    desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.hear(desk.delivery(first, "permanent_failure", "webhook"))
    desk.succeed()
    assert [n.id for n in desk.sent[1:]] == [first.id]
    desk.hear(desk.delivery(first, "permanent_failure", "webhook"), desk.delivery(first, "permanent_failure", "email"))
    assert desk.wait(3 * HOUR) == []
    assert len(desk.wait(HOUR + MINUTE)) == 1


def test_a_delivery_in_several_parts_is_one() -> None:
    desk = Desk(answer=lambda n: None)
    desk.fire("a")
    desk.fire("b")
    (first,) = desk.wait(MINUTE)
    whole = desk.delivery(first, "delivered")
    for part in ("a", "b"):
        desk.hear(whole.model_copy(update={"alert_ids": [part], "event_id": f"{first.id}:{part}"}))
    assert desk.wait(3 * HOUR) == []


# -- taking over -----------------------------------------------------------------------------------------------


def test_a_successor_neither_repeats_nor_forgets() -> None:
    desk = Desk()
    one = desk.fire("a")
    desk.wait(MINUTE)
    desk.fire("b", host_id="h2", rule="disk_full")
    desk.wait(SECOND)
    desk.succeed(random.Random(0))
    assert said(desk.wait(MINUTE)) == [("ops", "first", "+b")]
    desk.end(one)
    desk.succeed(random.Random(1))
    assert said(desk.wait(6 * MINUTE)) == [("ops", "resolved", "-a")]


def test_a_successor_does_not_make_alerts_wait_from_the_beginning() -> None:
    desk = Desk()
    desk.fire("a")
    desk.wait(20 * SECOND)
    desk.succeed()
    assert said(desk.wait(11 * SECOND)) == [("ops", "first", "+a")]


def test_a_successor_decides_what_was_not_settled_under_the_same_id() -> None:
    desk = Desk(answer=lambda n: None)
    desk.fire("a")
    desk.wait(MINUTE)
    desk.succeed()
    first, second = desk.sent
    assert first.id == second.id


def test_who_lost_the_lease_and_has_it_again_decides_what_nobody_settled() -> None:
    desk = Desk(answer=lambda n: None)
    desk.fire("a")
    desk.fire("b", rule="disk_full")
    one, _ = desk.wait(MINUTE)
    desk.notifier.stand_down()
    desk.hear(desk.delivery(one, "delivered"))
    desk.settle()
    assert said(desk.wait(10 * MINUTE)) == [("ops", "first", "+b")]


def test_the_end_follows_a_beginning_that_the_one_before_told_at_the_last_moment() -> None:
    desk = Desk(answer=lambda n: None)
    fired = desk.fire("a")
    (first,) = desk.wait(MINUTE)
    desk.end(fired)
    desk.sent.clear()
    desk.topic = [e for e in desk.topic if e.kind == "alert"]
    desk.succeed()
    desk.wait(2 * MINUTE)
    desk.answer = lambda n: "delivered"
    desk.hear(desk.delivery(first, "delivered"))
    assert said(desk.wait(10 * MINUTE)) == [("ops", "resolved", "-a")]


def test_where_only_the_newest_is_kept_of_each_alert_its_end_is_told_all_the_same() -> None:
    desk = Desk()
    one = desk.fire("a")
    desk.wait(MINUTE)
    untold = desk.fire("b", rule="disk_full")
    desk.end(one)
    desk.end(untold)
    desk.topic = [e for e in desk.topic if e.kind != "alert" or e.state == "resolved"]
    desk.succeed()
    assert said(desk.wait(10 * MINUTE)) == [("ops", "resolved", "-a")]
    desk.succeed()
    assert desk.wait(10 * MINUTE) == []


def test_what_is_over_and_done_with_is_forgotten() -> None:
    desk = Desk()
    desk.end(desk.fire("a"))
    desk.wait(HOUR)
    desk.fire("b")
    assert list(desk.notifier._board.entries) == ["b"]
    assert next(iter(desk.notifier._groups.values())).members.keys() == {"b"}


# -- inhibition ------------------------------------------------------------------------------------------------

SHIPPED = """
route: {receiver: ops, group_by: [alertname], group_wait: 5s, group_interval: 30s}
inhibit_rules:
  - {source: ['condition="silent"'], target: ['condition!="silent"'], equal: [host_id]}
  - source: ['severity="critical"', 'metric!=""']
    target: ['severity="warning"', 'metric!=""']
    equal: [host_id, metric, instance]
"""
SILENT: dict[str, Any] = {"rule": "host_silent", "condition": "silent", "severity": "critical"}


def test_a_silent_host_speaks_for_its_other_alerts() -> None:
    desk = Desk(plan(SHIPPED))
    silent = desk.fire("s", **SILENT)
    desk.fire("a")
    desk.fire("b", host_id="h2", rule="disk_full")
    assert said(desk.wait(MINUTE)) == [("ops", "first", "+s"), ("ops", "first", "+b")]
    # It speaks again, and what goes on being wrong with it is told.
    desk.end(silent)
    assert said(desk.wait(LINGER_MS - SECOND)) == [("ops", "resolved", "-s")]
    desk.wait(MINUTE)
    assert sorted(said(desk.sent[2:])) == [("ops", "first", "+a"), ("ops", "resolved", "-s")]


def test_the_worse_of_two_says_it() -> None:
    desk = Desk(plan(SHIPPED))
    warning = desk.fire("w", rule="memory_low", metric="memory.percent")
    desk.fire("c", rule="memory_exhausted", metric="memory.percent", severity="critical")
    desk.fire("d", rule="disk_filling", metric="disk.percent", labels={"instance": "/"})
    assert said(desk.wait(MINUTE)) == [("ops", "first", "+c"), ("ops", "first", "+d")]
    # The lesser ends first: nobody knew of it, nobody need know.
    desk.end(warning)
    assert desk.wait(HOUR) == []


def test_what_ends_a_little_after_the_one_that_spoke_for_it_is_never_told() -> None:
    desk = Desk(plan(SHIPPED))
    worse = desk.fire("c", rule="memory_exhausted", metric="memory.percent", severity="critical")
    lesser = desk.fire("w", rule="memory_low", metric="memory.percent")
    desk.wait(MINUTE)
    desk.end(worse)
    desk.wait(MINUTE)
    desk.end(lesser)
    desk.wait(HOUR)
    assert said(desk.sent) == [("ops", "first", "+c"), ("ops", "resolved", "-c")]


def test_the_end_of_what_is_inhibited_is_told_when_it_no_longer_is() -> None:
    desk = Desk(plan(SHIPPED))
    fired = desk.fire("a")
    desk.wait(MINUTE)
    silent = desk.fire("s", **SILENT)
    desk.end(fired)
    assert said(desk.wait(HOUR)) == [("ops", "first", "+s")]
    desk.end(silent)
    desk.wait(MINUTE)
    assert sorted(said(desk.sent[2:])) == [("ops", "resolved", "-a"), ("ops", "resolved", "-s")]


def test_on_an_overloaded_host_a_leak_is_told_and_what_comes_with_the_overload_is_not() -> None:
    shipped = routing_file.SHIPPED.read_text("utf-8").replace("route:\n", "route:\n  receiver: ops\n", 1)
    desk = Desk(plan(shipped))
    desk.fire("busy", rule="cpu_busy", metric="cpu.percent")
    found = {"condition": "anomaly", "metric": ""}
    desk.fire("critical", rule="anomaly_critical", severity="critical", labels={"finding": "cpu_overload"}, **found)
    desk.fire("overload", rule="anomaly", labels={"finding": "cpu_overload"}, **found)
    desk.fire("load", rule="load_high", labels={"finding": "load_spike"}, **found)
    desk.fire("pressure", rule="anomaly", labels={"finding": "pressure_storm"}, **found)
    desk.fire("leak", rule="anomaly", labels={"finding": "memory_leak"}, **found)
    assert sorted(said(desk.wait(HOUR))) == [("ops", "first", "+busy"), ("ops", "first", "+leak")]


def test_two_that_could_inhibit_each_other_do_not() -> None:
    rule = "inhibit_rules: [{source: ['alertname=~\".*\"'], target: ['alertname=~\".*\"']}]"
    desk = Desk(plan(f"route: {{receiver: ops}}\n{rule}"))
    desk.fire("a")
    desk.fire("b")
    assert said(desk.wait(MINUTE)) == [("ops", "first", "+a +b")]


# -- silences --------------------------------------------------------------------------------------------------


def test_a_silence_hides_until_it_says_and_not_a_millisecond_longer() -> None:
    desk = Desk()
    desk.silence(HOUR, of("host_id", "h1"))
    desk.fire("a")
    desk.fire("b", host_id="h2")
    assert said(desk.wait(HOUR - 1)) == [("ops", "first", "+b")]
    assert said(desk.wait(1)) == [("ops", "changed", "+a +b")]


def test_what_was_told_before_a_silence_and_still_fires_after_it_is_told_again() -> None:
    desk = Desk()
    desk.fire("a")
    desk.wait(MINUTE)
    desk.silence(HOUR, of("host_id", "h1"))
    assert desk.wait(HOUR - 1) == []
    assert said(desk.wait(1)) == [("ops", "repeat", "+a")]
    assert [(a.state, a.by, a.until) for a in desk.attention] == [
        ("suppressed", ["silence:s1"], START + MINUTE + HOUR),
        ("active", [], None),
    ]
    assert desk.wait(3 * HOUR) == []


def test_the_end_of_what_is_silenced_is_told_after_the_silence() -> None:
    desk = Desk()
    fired = desk.fire("a")
    desk.wait(MINUTE)
    desk.silence(HOUR, of("host_id", "h1"))
    desk.end(fired)
    assert desk.wait(HOUR - 1) == []
    assert said(desk.wait(MINUTE)) == [("ops", "resolved", "-a")]


def test_a_silence_may_begin_later_and_be_taken_back() -> None:
    desk = Desk()
    desk.silence(2 * HOUR, of("host_id", "h1"), starts=HOUR)
    desk.wait(HOUR)
    desk.fire("a")
    assert desk.wait(10 * MINUTE) == []
    desk.tell("silence:s1", None)
    assert said(desk.sent) == [("ops", "first", "+a")]


def test_a_silence_that_cannot_be_understood_silences_nothing() -> None:
    desk = Desk()
    desk.silence(HOUR, of("host_id", "h1").model_copy(update={"value": "(", "is_regex": True, "is_equal": False}))
    desk.fire("a")
    assert said(desk.wait(MINUTE)) == [("ops", "first", "+a")]


# -- acknowledgements ------------------------------------------------------------------------------------------


def test_what_somebody_has_in_hand_is_not_repeated_and_its_end_is_told() -> None:
    desk = Desk()
    fired = desk.fire("a")
    desk.wait(MINUTE)
    desk.ack(fired)
    assert desk.wait(24 * HOUR) == []
    assert [(a.state, a.by) for a in desk.attention] == [("acknowledged", ["user:kim"])]
    desk.end(fired)
    assert said(desk.wait(10 * MINUTE)) == [("ops", "resolved", "-a")]


def test_an_acknowledgement_expires() -> None:
    desk = Desk()
    fired = desk.fire("a")
    desk.wait(MINUTE)
    desk.ack(fired, lasts=6 * HOUR)
    assert desk.wait(6 * HOUR - 1) == []
    assert said(desk.wait(1)) == [("ops", "repeat", "+a")]


def test_an_acknowledgement_that_is_taken_back_holds_no_more() -> None:
    desk = Desk()
    fired = desk.fire("a")
    desk.wait(MINUTE)
    desk.ack(fired)
    desk.wait(HOUR)
    desk.tell("ack:a", None)
    assert said(desk.sent) == [("ops", "first", "+a"), ("ops", "repeat", "+a")]
    assert [a.state for a in desk.attention] == ["acknowledged", "active"]


def test_what_gets_worse_than_somebody_took_on_is_told() -> None:
    desk = Desk()
    fired = desk.fire("a")
    desk.wait(MINUTE)
    desk.ack(fired)
    desk.wait(HOUR)
    desk.worsen(fired, value=97.5)
    desk.wait(SECOND)
    assert said(desk.sent) == [("ops", "first", "+a")]
    desk.worsen(fired, value=99.5)
    assert said(desk.sent) == [("ops", "first", "+a"), ("ops", "worsened", "+a")]
    assert [a.state for a in desk.attention] == ["acknowledged", "active"]
    desk.succeed()
    assert desk.wait(3 * HOUR) == []


def test_a_rise_in_severity_is_told_whether_or_not_somebody_took_it_on() -> None:
    desk = Desk()
    fired = desk.fire("a")
    desk.wait(HOUR)
    desk.worsen(fired, value=98.0)
    desk.wait(SECOND)
    desk.worsen(fired, severity="critical", value=99.0)
    assert said(desk.sent) == [("ops", "first", "+a"), ("ops", "worsened", "+a")]


# -- escalation ------------------------------------------------------------------------------------------------

STEPS = "route: {receiver: ops, group_wait: 0s, escalate: [{after: 15m, receiver: boss}, {after: 1h, receiver: boss}]}"


def test_what_nobody_takes_on_goes_to_somebody_else_once_a_step() -> None:
    desk = Desk(plan(STEPS))
    fired = desk.fire("a")
    assert desk.wait(15 * MINUTE - 1) == []
    assert said(desk.wait(1)) == [("boss", "escalation", "+a")]
    desk.succeed()
    assert said(desk.wait(3 * HOUR)) == [("boss", "escalation", "+a")]
    desk.end(fired)
    assert sorted(said(desk.sent[3:])) == [("boss", "resolved", "-a"), ("ops", "resolved", "-a")]


def test_what_somebody_took_on_goes_to_nobody_else() -> None:
    desk = Desk(plan(STEPS))
    fired = desk.fire("a")
    desk.wait(10 * MINUTE)
    desk.ack(fired)
    assert desk.wait(24 * HOUR) == []


def test_a_receiver_that_cannot_be_reached_does_not_stop_the_escalation() -> None:
    desk = Desk(plan(STEPS), answer=lambda n: "delivered" if n.receiver == "boss" else "temporary_failure")
    desk.fire("a")
    assert said(desk.wait(16 * MINUTE))[:1] == [("boss", "escalation", "+a")]


# -- quiet hours -----------------------------------------------------------------------------------------------

NIGHT = """
route: {receiver: ops, group_wait: 0s, quiet: [morning]}
quiet_hours:
  - {name: morning, zone: UTC, from: "08:30", to: "10:00", lets_through: ['severity="critical"']}
"""


def test_quiet_hours_hold_back_what_is_not_let_through_and_tell_it_at_their_end() -> None:
    desk = Desk(plan(NIGHT))
    desk.fire("before", rule="disk_filling")
    desk.wait(HOUR)
    desk.fire("a")
    desk.fire("c", severity="critical")
    assert said(desk.sent) == [("ops", "first", "+before"), ("ops", "first", "+c")]
    assert desk.attention[-1].by == ["quiet:morning"]
    assert desk.attention[-1].until == START + 2 * HOUR
    assert desk.wait(HOUR - 1) == []
    assert said(desk.wait(6 * MINUTE)) == [("ops", "changed", "+a +before +c")]


# -- flapping --------------------------------------------------------------------------------------------------

FLAPPING = "route: {receiver: ops, group_wait: 0s, group_interval: 1s}\nflapping: {times: 3, within: 10m}"


def test_a_clock_that_is_set_back_holds_up_no_news() -> None:
    desk = Desk()
    desk.fire("a")
    desk.wait(10 * SECOND)
    desk.now -= HOUR
    desk.settle()  # as every second
    assert said(desk.wait(MINUTE)) == [("ops", "first", "+a")]
    desk.now -= HOUR
    desk.fire("b")
    assert said(desk.wait(6 * MINUTE)) == [("ops", "changed", "+b +a")]


def test_a_clock_that_was_ahead_for_a_while_costs_no_silence() -> None:
    desk = Desk()
    desk.silence(HOUR, of("host_id", "h1"))
    desk.wait(2 * HOUR)
    desk.now -= 2 * HOUR
    desk.fire("a")
    assert desk.wait(HOUR - 1) == []
    assert said(desk.wait(MINUTE)) == [("ops", "first", "+a")]


def test_a_clock_that_is_set_back_uses_up_no_cap() -> None:
    desk = capped(1)
    desk.fire("a")
    desk.now -= HOUR
    desk.fire("b", rule="disk_full")
    assert [occasion for _, occasion, _ in said(desk.wait(11 * MINUTE))] == ["digest"]


def test_what_flaps_is_said_once_and_left_alone_until_it_is_still() -> None:
    desk = Desk(plan(FLAPPING))
    for number in range(8):
        fired = desk.fire(f"a{number}")
        desk.wait(30 * SECOND)
        if number < 7:
            desk.end(fired)
            desk.wait(30 * SECOND)
    assert said(desk.sent) == [
        ("ops", "first", "+a0"),
        ("ops", "resolved", "-a0"),
        ("ops", "first", "+a1"),
        ("ops", "resolved", "-a1"),
        ("ops", "flapping", "+a2"),
    ]
    desk.succeed(random.Random(3))
    assert desk.wait(9 * MINUTE) == []
    # Still at last: it goes on firing, and that is told; the one that was told as flapping is over.
    assert said(desk.wait(MINUTE)) == [("ops", "changed", "+a7 -a2")]
    assert desk.attention[-1].state == "active"


# -- caps ------------------------------------------------------------------------------------------------------


def capped(messages: int, text: str = "route: {receiver: ops, group_by: [alertname], group_wait: 0s}") -> Desk:
    given = plan(text)
    ops = given.receivers["ops"]
    given.receivers["ops"] = ops.model_copy(
        update={"cap": ops.cap.model_copy(update={"messages": messages, "per": 10 * MINUTE})}
    )
    return Desk(given)


def test_what_is_too_much_comes_as_one_digest() -> None:
    desk = capped(2)
    for number in range(6):
        fired = desk.fire(f"a{number}", rule=f"rule{number}", severity="critical" if number == 4 else "warning")
        if number == 5:
            desk.end(fired)
        desk.wait(SECOND)
    assert said(desk.sent) == [("ops", "first", "+a0"), ("ops", "first", "+a1")]
    (digest,) = desk.wait(10 * MINUTE)
    assert said([digest]) == [("ops", "digest", "+a4 +a2 +a3")]
    assert digest.held_back == (4, 4)
    assert desk.wait(HOUR) == []


def test_a_digest_counts_like_any_other_message() -> None:
    desk = capped(1)
    times = []
    desk.answer = lambda n: times.append(desk.now) or "delivered"  # type: ignore[func-returns-value]
    for number in range(60):
        desk.fire(f"a{number}", rule=f"rule{number}")
        desk.wait(MINUTE)
    assert all(later - sooner >= 10 * MINUTE for sooner, later in pairwise(times))
    desk.wait(10 * MINUTE)
    assert {a.alert_id for n in desk.sent for a in n.firing} == {f"a{n}" for n in range(60)}


# -- the rest --------------------------------------------------------------------------------------------------


def test_a_trial_is_told_at_once_and_once_and_old_ones_never() -> None:
    desk = Desk()
    desk.tell("trial:t1", Trial(event_id="t1", ts=START, id="t1", receiver="boss"))
    desk.tell("trial:t0", Trial(event_id="t0", ts=START - HOUR, id="t0", receiver="boss"))
    assert [(n.id, n.receiver, n.occasion) for n in desk.sent] == [("t1", "boss", "trial")]
    desk.succeed()
    assert len(desk.sent) == 1


def test_a_receiver_entered_while_running_is_told_what_it_subscribed_to_and_others_go_on() -> None:
    desk = Desk()
    entry = ReceiverEntry(
        event_id="r", ts=START, id="data", channel="webhook", target="http://x/", matchers=[of("team", "data")]
    )
    desk.tell("receiver:data", entry)
    assert not desk.notifier.plan.receivers["data"].trusted
    desk.fire("a", labels={"team": "data"})
    desk.fire("b")
    assert sorted(said(desk.wait(MINUTE))) == [("data", "first", "+a"), ("ops", "first", "+a +b")]


def test_a_new_plan_tells_who_is_new_and_ends_what_the_old_one_began() -> None:
    desk = Desk()
    fired = desk.fire("a")
    desk.wait(MINUTE)
    desk.notifier.adopt(plan("route: {receiver: boss, group_wait: 0s}"), desk.now)
    desk.settle()
    desk.end(fired)
    assert sorted(said(desk.wait(HOUR))) == [("boss", "resolved", "-a"), ("ops", "resolved", "-a")]
    assert said(desk.sent)[:2] == [("ops", "first", "+a"), ("boss", "first", "+a")]


def test_who_stands_by_forgets_what_is_over_and_keeps_what_is_still_to_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.alerter.notification.notifier._SWEEP_EVERY", 4)
    desk = Desk()
    kept = desk.fire("kept", host_id="h0")
    desk.wait(MINUTE)
    desk.silence(9 * HOUR, of("host_id", "h0"))
    desk.end(kept)
    for n in range(1, 9):
        fired = desk.fire(f"a{n}", host_id=f"h{n}")
        desk.wait(6 * MINUTE)
        desk.end(fired)
        desk.wait(6 * MINUTE)
    going_on = desk.fire("on", host_id="h9")
    desk.wait(3 * HOUR)
    standby = desk.another()
    assert len(standby._board.entries) == 10
    standby.rest(desk.now)
    assert set(standby._board.entries) == {"kept", going_on.alert_id}
    assert set(standby._look) | set(standby._told) == {"kept", "on"}
    desk.notifier = standby
    desk.settle()
    assert [text for _, _, text in said(desk.wait(9 * HOUR)) if "-kept" in text] == ["+on -kept"]


def test_groups_are_swept_when_there_are_twice_as_many_and_not_at_every_decision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.alerter.notification.notifier._SWEEP_EVERY", 4)
    desk = Desk(plan("route: {receiver: ops, group_by: [host_id], group_wait: 0s}"))
    swept: list[int] = []
    ledger = desk.notifier._ledger
    monkeypatch.setattr(ledger, "sweep", swept.append)
    for n in range(20):
        desk.fire(f"a{n}", host_id=f"h{n}")
    assert len(swept) == 2  # beyond 4, and beyond 10
    assert ledger.groups == 20


def test_a_storm_is_a_handful_of_messages_and_every_alert_is_in_one() -> None:
    desk = Desk(parse("shipped.yaml", FILE.read_text(), [Receiver(name="email", email=MailTo(to=["a@b"]))]))
    for number in range(1000):
        for name, more in (("s", SILENT), ("a", {})):
            fired = alert(f"{name}{number}", host_id=f"h{number}", ts=desk.now, **more)
            desk.hear(fired.model_copy(update={"fingerprint": fingerprint(fired)}))
        if number % 10 == 0:
            desk.wait(20)
    desk.wait(MINUTE)
    assert len(desk.sent) <= 3
    told = {a.alert_id for n in desk.sent for a in n.firing}
    assert told == {f"s{number}" for number in range(1000)}


@pytest.mark.parametrize("occasion", ["first", "resolved"])
def test_words_of_the_group_are_alertmanagers(occasion: str) -> None:
    desk = Desk(plan("route: {receiver: ops, group_wait: 0s, routes: [{match: [host_id=h1], group_by: [rule, host]}]}"))
    desk.end(desk.fire("a"))
    desk.wait(HOUR)
    found: Notification = next(n for n in desk.sent if n.occasion == occasion)
    assert found.group_key == '{}/{host_id="h1"}:{host="web1", rule=""}'
