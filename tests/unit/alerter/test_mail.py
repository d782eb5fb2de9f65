"""What a mail says."""

from __future__ import annotations

from services.alerter.delivery.mail import MOST_SHOWN, render
from services.alerter.notification.notification import Notification
from shared.schemas.alert import Alert
from tests.unit.alerter.support import alert


def note(*alerts: Alert, status: str = "firing", severity: str = "warning") -> Notification:
    return Notification("email", status, alerts[0].rule, severity, alerts)


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
        "\n"
        "What to do: Look at it.\n"
        "\n"
        "-- \n"
        "Lapwing sends this because LAPWING_ALERTER__EMAIL_TO names this address."
    )


def test_without_an_address_there_is_no_link() -> None:
    assert "href" not in render(note(alert("a")), "en", None).html


def test_an_end_is_calm_and_says_how_long_it_was() -> None:
    mail = render(note(alert("a", state="resolved"), status="resolved"), "en", None)
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
    assert mail.text.count("Value:") == MOST_SHOWN
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
    assert "Value: 3.2 (limit 1)" in text
    assert "    - cpu.percent 99.0 % (usually 3.0 % to 20.0 %)\n    - memory.percent 80.0 %" in text
    assert "python (pid 7)" in text
