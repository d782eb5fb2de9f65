"""What people say of anomalies changes what is said next, for that host and those metrics only."""

from __future__ import annotations

import json

import pytest

from services.detector.bank import Verdict
from services.detector.calibration import HIGHEST
from services.detector.feedback import MOST_A_HOST, QUIET, REAL, Opinions
from services.detector.listening import Listening
from shared.bus.port import Message
from shared.schemas.anomaly import Anomaly, Contribution
from shared.schemas.codec import encode
from shared.schemas.control import Feedback, Meant
from shared.schemas.topics import CONTROL

BACKUP = Meant(metric="disk_io.read_bytes_per_s", labels={"device": "sda"}, low=0, high=100)


def said(verdict: str, *metrics: Meant, id: str = "a1", ts: int = 1000, host_id: str = "h1") -> Feedback:
    return Feedback.model_validate(
        {
            "event_id": f"{id}-{ts}",
            "ts": ts,
            "id": id,
            "host_id": host_id,
            "verdict": verdict,
            "author": "ada",
            "metrics": [m.model_dump() for m in metrics],
        }
    )


def contribution(metric: str, value: float, share: float, **labels: str) -> Contribution:
    return Contribution(metric=metric, labels=labels, share=share, value=value, expected_low=0, expected_high=1)


def reading(value: float, share: float = 1.0) -> Contribution:
    return contribution(BACKUP.metric, value, share, device="sda")


def score(opinions: Opinions, *contributions: Contribution, host_id: str = "h1", score: float = 2.0) -> float:
    return opinions.applied(host_id, Verdict(score, contributions)).score


def test_what_was_called_normal_is_quiet_while_it_stays_where_it_was() -> None:
    opinions = Opinions()
    assert score(opinions, reading(80)) == 2.0
    opinions.take(said("normal", BACKUP))
    quiet = opinions.applied("h1", Verdict(2.0, (reading(80),)))
    assert (quiet.score, quiet.contributions) == (QUIET, ())
    assert score(opinions, reading(109)) == QUIET  # a little further
    assert score(opinions, reading(111)) == 2.0
    assert score(opinions, reading(-11)) == 2.0


def test_it_is_about_its_host_its_metrics_and_their_labels() -> None:
    opinions = Opinions()
    opinions.take(said("normal", BACKUP))
    assert score(opinions, reading(80), host_id="h2") == 2.0
    assert score(opinions, contribution(BACKUP.metric, 80, 1.0, device="sdb")) == 2.0
    assert score(opinions, contribution("cpu.percent", 80, 1.0)) == 2.0


@pytest.mark.parametrize(("share", "expected"), [(0.8, QUIET), (0.7, 2.0)])
def test_something_else_beside_it_is_still_told(share: float, expected: float) -> None:
    opinions = Opinions()
    opinions.take(said("normal", BACKUP))
    assert score(opinions, reading(80, share), contribution("cpu.percent", 99, 1 - share)) == expected


def test_what_was_called_real_counts_for_more_but_not_without_end() -> None:
    opinions = Opinions()
    opinions.take(said("real", BACKUP))
    assert score(opinions, reading(80)) == 2.0 * REAL
    assert score(opinions, reading(80), score=9.0) == HIGHEST
    assert score(opinions, reading(80), score=0.9) == 0.9  # what is normal is no anomaly for it


def test_the_newest_opinion_that_fits_holds_whatever_came_first() -> None:
    older, newer = said("normal", BACKUP, id="a1", ts=1000), said("real", BACKUP, id="a2", ts=2000)
    for order in ((older, newer), (newer, older)):
        opinions = Opinions()
        for one in order:
            opinions.take(one)
        assert score(opinions, reading(80)) == 2.0 * REAL
        opinions.forget("a2")
        assert score(opinions, reading(80)) == QUIET


def test_said_again_of_the_same_anomaly_it_replaces_and_taken_back_it_leaves_nothing() -> None:
    opinions = Opinions()
    opinions.take(said("normal", BACKUP))
    opinions.take(said("real", BACKUP))
    assert len(opinions) == 1 and score(opinions, reading(80)) == 2.0 * REAL
    opinions.forget("a1")
    opinions.forget("a1")
    assert len(opinions) == 0 and score(opinions, reading(80)) == 2.0


def test_an_opinion_without_metrics_changes_nothing() -> None:
    opinions = Opinions()
    opinions.take(said("normal"))
    assert score(opinions, reading(80)) == 2.0
    assert score(opinions) == 2.0


def test_a_host_has_so_many_opinions_and_the_oldest_gives_way() -> None:
    opinions = Opinions()
    for number in range(MOST_A_HOST + 1):
        opinions.take(said("normal", Meant(metric=f"m{number}", low=0, high=1), id=f"a{number}", ts=number))
    assert len(opinions) == MOST_A_HOST
    assert score(opinions, contribution("m0", 0.5, 1.0)) == 2.0
    assert score(opinions, contribution("m1", 0.5, 1.0)) == QUIET


def test_from_the_topic_others_decisions_and_nonsense_pass_by_and_no_value_takes_back() -> None:
    opinions = Opinions()
    listening = Listening(None, opinions)  # type: ignore[arg-type]

    def comes(key: str, value: bytes | None) -> None:
        listening.take(Message(CONTROL.name, 0, 0, key.encode(), value, 0))

    comes("feedback:a1", encode(said("normal", BACKUP)))
    comes("feedback:a2", b"{nonsense")
    ack = {"kind": "ack", "event_id": "e", "ts": 1, "id": "alert-1", "author": "ada"}
    comes("ack:alert-1", json.dumps(ack).encode())
    assert len(opinions) == 1 and score(opinions, reading(80)) == QUIET
    comes("ack:alert-1", None)
    assert len(opinions) == 1
    comes("feedback:a1", None)
    assert len(opinions) == 0


def finding(name: str, *parts: Contribution, host: str = "h1", **labels: str) -> Anomaly:
    return Anomaly(
        event_id="e",
        ts=1,
        anomaly_id="n",
        host_id=host,
        host=host,
        labels={"role": "web", **labels},
        state="open",
        finding=name,
        score=2,
        peak_score=2,
        started_at=1,
        contributions=list(parts),
    )


def test_a_named_finding_is_known_again_by_its_name_its_part_and_its_value() -> None:
    opinions = Opinions()
    of_finding = {"finding": "disk_slow", "labels": {"role": "db", "device": "sda", "pid": "7"}}
    opinions.take(said("normal", BACKUP).model_copy(update=of_finding))
    host = {"role": "web"}
    assert opinions.of_finding(finding("disk_slow", reading(80), device="sda", pid="9"), host) == "normal"
    for other in (
        finding("disk_slow", reading(500), device="sda"),
        finding("disk_slow", reading(80), device="sdb"),
        finding("disk_full", reading(80), device="sda"),
        finding("disk_slow", reading(80), device="sda", host="h2"),
    ):
        assert opinions.of_finding(other, host) is None
    opinions.take(said("real", BACKUP, id="a2", ts=2000).model_copy(update=of_finding))
    assert opinions.of_finding(finding("disk_slow", reading(80), device="sda"), host) == "real", "the newest holds"


def test_a_finding_without_metrics_is_known_by_name_and_part() -> None:
    opinions = Opinions()
    opinions.take(said("normal").model_copy(update={"finding": "process_crash", "labels": {"process": "cron-job"}}))
    assert opinions.of_finding(finding("process_crash", process="cron-job"), {"role": "web"}) == "normal"
    assert opinions.of_finding(finding("process_crash", process="nginx"), {"role": "web"}) is None
