"""What a mail says."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from services.alerter.delivery.mail import IN_FULL, MOST_SHOWN, Exhibit, Mail, context_of, short_text
from services.alerter.delivery.mail import render as write
from services.alerter.evidence.port import Gathered, LogLine, Similar
from services.alerter.notification.notification import Notification
from services.alerter.rules.rule import Language
from shared.schemas.alert import Alert, Occasion
from tests.unit.alerter.notes import note
from tests.unit.alerter.support import alert


def render(notification: Notification, language: Language, external_url: str | None, **more: Any) -> Mail:
    return write(context_of(notification, language, external_url, **more))


def test_what_where_since_when_how_much_and_what_to_do() -> None:
    mail = render(note(alert("a", labels={"env": "prod"})), "en", "https://lapwing.example.org/")
    for part in (mail.text, mail.html):
        for words in ("web1", "2027-01-15 08:00:00 UTC", "97.5 %", "90.0 %", "30 s", "Look at it.", "env=prod"):
            assert words in part
    assert "https://lapwing.example.org/?host=h1&alert=a" in mail.text
    assert "https://lapwing.example.org/?host=h1&amp;alert=a" in mail.html


def test_the_text_reads_well() -> None:
    mail = render(note(alert("a")), "en", None)
    assert mail.text == (
        "Warning: cpu_busy\n"
        "\n"
        "cpu_busy on web1\n"
        "  Host: web1\n"
        "  Metric: cpu.percent\n"
        "  Value: 97.5 % (limit 90.0 %)\n"
        "  Since: 2027-01-15 08:00:00 UTC (for 30 s)\n"
        "  What to do: Look at it.\n"
        "\n"
        "-- \n"
        "You are told as the receiver “ops” of this Lapwing."
    )


def test_without_an_address_there_is_no_link() -> None:
    assert "href" not in render(note(alert("a")), "en", None).html


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("silent", {"en": "nothing heard for 1 min 15 s", "zh": "已有 1 min 15 s 没有数据"}),
        ("absent", {"en": "missing for 1 min 15 s", "zh": "已缺失 1 min 15 s"}),
        ("late", {"en": "behind by 1 min 15 s", "zh": "延迟 1 min 15 s"}),
        ("anomaly", {"en": "score 75", "zh": "异常分数 75"}),
    ],
)
def test_a_value_that_is_no_reading_says_what_it_is(condition: str, said: dict[Language, str]) -> None:
    for language, words in said.items():
        mail = render(note(alert("a", condition=condition, value=75.0, threshold=60.0)), language, None)
        assert words in mail.text and words in mail.html


def test_how_long_is_not_said_of_what_has_only_begun() -> None:
    begun = alert("a", ts=1_800_000_000_001)
    mail = render(note(begun, *(alert(f"b{i}", ts=begun.ts) for i in range(IN_FULL))), "en", None)
    assert "2027-01-15 08:00:00 UTC\n" in mail.text
    assert "0 s" not in mail.text + mail.html


def test_a_score_is_written_as_short_as_its_limit() -> None:
    seen = Exhibit(Gathered("host.score", expected=(0.0, 1.0)))
    assert "host.score: usually 0 – 1\n" in render(note(alert("a")), "en", None, exhibits={"a": seen}).text


def test_an_end_is_calm_and_says_how_long_it_was() -> None:
    mail = render(note(resolved=(alert("a", state="resolved"),)), "en", None)
    assert mail.subject == "[Resolved] cpu_busy: web1"
    assert "Until: 2027-01-15 08:01:00 UTC (for 1 min)" in mail.text
    assert "Nothing needs to be done." in mail.text
    assert "Look at it." not in mail.text


def test_chinese() -> None:
    mail = render(note(alert("a"), alert("b", host="web2")), "zh", None)
    assert mail.subject == "[警告] cpu_busy: web1 等另外 1 项"
    assert "当前值: 97.5 % (阈值 90.0 %)" in mail.text
    assert '<html lang="zh">' in mail.html


def test_many_alerts_are_counted_not_listed() -> None:
    alerts = [alert(f"a{i}", host=f"web{i}") for i in range(MOST_SHOWN + 30)]
    mail = render(note(*alerts), "en", None)
    assert mail.subject == f"[Warning] cpu_busy: web0 and {MOST_SHOWN + 29} more"
    assert mail.text.count("Value:") == IN_FULL
    assert "- Warning: cpu_busy on web3, 2027-01-15 08:00:00 UTC (for 30 s)\n" in mail.text
    assert mail.text.count("\n- Warning: cpu_busy on web") == MOST_SHOWN - IN_FULL
    assert mail.html.count("<b>web") == MOST_SHOWN - IN_FULL
    assert "30 more alerts are not shown here." in mail.text


def test_everything_from_outside_is_escaped_in_html() -> None:
    evil = "<img src=x onerror=alert(1)>"
    fired = alert(
        "a",
        host=evil,
        labels={"instance": evil, "env": evil},
        annotations={"title": evil, "advice": evil, "description": evil, "contributions": evil, "top_processes": evil},
        summary=evil,
    )
    mail = render(note(fired), "en", "https://x.example/")
    assert "<img" not in mail.html
    assert mail.html.count("&lt;img") >= 7
    assert evil in mail.text


def test_braces_in_a_name_are_no_template() -> None:
    mail = render(note(alert("a", host="{{ 7*7 }}{% raw %}{n}")), "en", None)
    assert "{{ 7*7 }}{% raw %}{n}" in mail.subject


def test_evidence_of_an_anomaly() -> None:
    fired = alert(
        "a",
        rule="anomaly",
        condition="anomaly",
        value=3.2,
        threshold=1.0,
        annotations={
            "title": "Unusual behaviour",
            "contributions": "cpu.percent 99.0 % (usually 3.0 % to 20.0 %)\nmemory.percent 80.0 %",
            "top_processes": "python (pid 7): 99 % cpu, 1.0 % memory",
        },
    )
    text = render(note(fired), "en", None).text
    assert "Value: score 3.2 (limit 1)" in text
    assert "    - cpu.percent 99.0 % (usually 3.0 % to 20.0 %)\n    - memory.percent 80.0 %" in text
    assert "python (pid 7)" in text


def test_what_fires_and_what_is_over_are_told_apart_in_one_mail() -> None:
    over = (alert("b", host="web2", state="resolved"), alert("c", host="web3", state="resolved"))
    mail = render(note(alert("a"), resolved=over, occasion="changed"), "en", None)
    assert mail.subject == "[Warning] cpu_busy: web1, 2 over"
    assert "Something changed in this group" in mail.text
    assert mail.text.index("Host: web1") < mail.text.index("No longer so:") < mail.text.index("Host: web2")
    assert "Nothing needs to be done" not in mail.text
    assert mail.html.index("No longer so") < mail.html.index("web3")


def test_what_is_new_comes_first_and_what_is_known_is_a_line_each() -> None:
    known = [alert(f"k{i}", host=f"old{i}", severity="critical", summary=f"cpu_busy on old{i}") for i in range(2)]
    over = (alert("o", host="web3", state="resolved"),)
    mail = render(note(alert("n"), *known, resolved=over, occasion="changed", told_before=2), "en", "https://x.example")
    assert mail.subject == "[Warning] cpu_busy: web1, 1 over, 2 still firing"
    assert mail.text.count("Value:") == 2  # of what is new and what is over
    assert (
        "Known already, and still firing:\n"
        "- Critical: cpu_busy on old0, 2027-01-15 08:00:00 UTC (for 30 s)\n"
        "- Critical: cpu_busy on old1, 2027-01-15 08:00:00 UTC (for 30 s)\n"
        "\n"
        "-- \n"
    ) in mail.text
    for part in (mail.text, mail.html):
        places = [
            part.index(words) for words in ("97.5 %", "No longer so", "web3", "Known already", "on old0", "on old1")
        ]
        assert places == sorted(places)


def test_an_end_beside_what_goes_on_is_about_the_end() -> None:
    mail = render(
        note(alert("k", host="old"), resolved=(alert("o", state="resolved"),), occasion="changed", told_before=1),
        "en",
        "https://x.example",
        link=lambda action, a: f"https://x.example/a/{action}-{a.alert_id}",
    )
    assert mail.subject == "[Resolved] cpu_busy: web1, 1 still firing"
    assert mail.text.index("Host: web1") < mail.text.index("Known already")
    assert "Nothing needs to be done" not in mail.text + mail.html
    assert "These links" not in mail.text + mail.html


def test_a_chat_says_what_is_new_and_names_the_rest() -> None:
    known = [alert(f"k{i}", host=f"old{i}", summary=f"cpu_busy on old{i}") for i in range(7)]
    _, text = short_text(context_of(note(alert("n"), *known, occasion="changed", told_before=7), "en", None))
    assert text.count("Since") == 1
    assert text.index("cpu_busy on web1") < text.index("Known already") < text.index("- cpu_busy on old4\n")
    assert text.splitlines()[-1] == "2 more alerts are not shown here."


def test_templates_of_ones_own_still_see_all_that_fires() -> None:
    context = context_of(note(alert("n"), alert("k"), occasion="changed", told_before=1), "en", None)
    ids = {name: [a["alert_id"] for a in context[name]] for name in ("firing", "news", "known")}
    assert ids == {"firing": ["n", "k"], "news": ["n"], "known": ["k"]}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("occasion", get_args(Occasion))
def test_every_occasion_is_said_in_words(occasion: Occasion, language: Language) -> None:
    gone = (alert("a", state="resolved"),)
    told = note(resolved=gone) if occasion == "resolved" else note(alert("a"), occasion=occasion, held_back=(12, 340))
    mail = render(told, language, None)
    assert "{" not in mail.text + mail.subject
    if occasion == "digest":
        assert "12" in mail.text
        assert "340" in mail.text
    plain = render(note(alert("a")), language, None)
    assert (mail.text == plain.text) == (occasion == "first")


@pytest.mark.parametrize(
    ("occasion", "subject"),
    [
        ("repeat", "[Warning, still firing] cpu_busy: web1"),
        ("worsened", "[Warning, worse] cpu_busy: web1"),
        ("flapping", "[Warning, flapping] cpu_busy: web1"),
        ("escalation", "[Warning, escalated] cpu_busy: web1"),
        ("trial", "[Warning, test] cpu_busy: web1"),
    ],
)
def test_the_subject_says_why_it_comes_again(occasion: Occasion, subject: str) -> None:
    assert render(note(alert("a"), occasion=occasion), "en", None).subject == subject


def test_a_digest_of_what_is_over_already_says_so() -> None:
    mail = render(note(occasion="digest", held_back=(3, 9)), "en", None)
    assert mail.subject == "[Resolved, digest] Nothing fires any more"
    assert "3 messages about 9 alerts were held back" in mail.text


def test_a_note_is_shown() -> None:
    mail = render(note(alert("a"), note="ack by ann ran out\nBcc: x"), "en", None)
    assert "ack by ann ran out Bcc: x" in mail.text
    assert "ack by ann ran out Bcc: x" in mail.html


def test_ten_megabytes_are_cut_aloud() -> None:
    huge = "x" * 10_000_000
    texts = {"title": huge, "advice": huge, "description": huge, "contributions": huge, "top_processes": huge}
    mail = render(note(alert("a", annotations=texts, labels={"env": huge})), "en", "https://x.example")
    assert len(mail.html) < 40_000
    assert "[10000000 characters, cut]" in mail.text


def test_the_same_advice_is_given_once() -> None:
    mail = render(note(alert("a"), alert("b", host="web2")), "en", None)
    assert mail.text.count("What to do: Look at it.") == 1


def test_links_act_on_what_fires_and_are_not_there_for_what_is_over() -> None:
    def link(action: str, a: Alert) -> str:
        return f"https://x.example/a/{action}-{a.alert_id}"

    fired = render(note(alert("a", anomaly_id="n")), "en", "https://x.example", link=link)
    for part in (fired.text, fired.html):
        assert all(f"https://x.example/a/{action}-a" in part for action in ("ack", "silence", "normal"))
    assert "normal" not in render(note(alert("a")), "en", "https://x.example", link=link).text
    over = render(note(resolved=(alert("a", state="resolved", anomaly_id="n"),)), "en", "https://x.example", link=link)
    assert "/a/ack" not in over.text
    assert "/a/normal-a" in over.text


def test_what_was_gathered_is_shown() -> None:
    gathered = Gathered(
        metric="cpu.percent",
        expected=(3.0, 20.0),
        logs=(LogLine(1_800_000_010_000, "error", "nginx", "upstream <timed out>"),),
        similar=Similar("z", 1_799_900_000_000, 1_799_900_720_000, 99.0),
    )
    mail = render(note(alert("a")), "en", None, exhibits={"a": Exhibit(gathered, b"png", "x@lapwing")})
    assert "  cpu.percent: usually 3.0 % – 20.0 %\n" in mail.text
    assert "08:00:10 error nginx: upstream <timed out>" in mail.text
    assert "The last time: 2027-01-14 04:13:20 UTC, for 12 min (99.0 %)" in mail.text
    assert 'src="cid:x@lapwing"' in mail.html
    assert "upstream &lt;timed out&gt;" in mail.html


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"condition": "anomaly", "finding": "unusual"}, "for 12 min (score 2)\n"),
        ({"condition": "anomaly", "finding": "memory_leak"}, "for 12 min\n"),
        ({"condition": "silent"}, "for 12 min (nothing heard for 2 s)\n"),
    ],
)
def test_the_last_time_says_what_its_number_is(labels: dict[str, str], said: str) -> None:
    seen = Gathered(similar=Similar("z", 1_799_900_000_000, 1_799_900_720_000, 2.0))
    fired = alert("a", condition=labels["condition"], labels=labels)
    assert said in render(note(fired), "en", None, exhibits={"a": Exhibit(seen)}).text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_chat_gets_title_and_text(language: Language) -> None:
    told = note(*(alert(f"a{i}", host=f"web{i}") for i in range(7)), resolved=(alert("b", state="resolved"),))
    title, text = short_text(context_of(told, language, "https://x.example"))
    assert "web0" in title
    assert text.count("https://x.example/?host=h1&alert=a") == 5
    assert "2" in text.splitlines()[-1]
