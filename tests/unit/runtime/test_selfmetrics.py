"""What Lapwing tells about itself is valid Prometheus text, complete and bounded."""

from __future__ import annotations

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from shared.runtime import selfmetrics
from shared.runtime.selfmetrics import Counter, Gauge, Histogram, exposition


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    numbers: list[object] = []
    monkeypatch.setattr(selfmetrics, "NUMBERS", numbers)
    return numbers


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in parse(text) for s in family.samples}


def test_what_is_counted_can_be_read_back(alone: list[object]) -> None:
    lines, lag = Counter("lapwing_x_lines_total", "Lines.", "topic"), Gauge("lapwing_x_lag", "Lag.")
    took = Histogram("lapwing_x_seconds", "Time.", bounds=(0.1, 1.0))
    alone += [lines, lag, took]
    lines.add(2, "a")
    lines.add(1, "a")
    lines.add(5, 'odd "\\\n')
    lag.set(-3)
    for seconds in (0.05, 0.1, 0.5, 7):
        took.observe(seconds)
    read = values(exposition())
    assert read[("lapwing_x_lines_total", (("topic", "a"),))] == lines.value("a") == 3
    assert read[("lapwing_x_lines_total", (("topic", 'odd "\\\n'),))] == 5
    assert read[("lapwing_x_lag", ())] == -3
    buckets = {labels[0][1]: value for (name, labels), value in read.items() if name == "lapwing_x_seconds_bucket"}
    assert buckets == {"0.1": 2, "1": 3, "+Inf": 4}
    assert (read[("lapwing_x_seconds_count", ())], read[("lapwing_x_seconds_sum", ())]) == (4, pytest.approx(7.65))


def test_an_untouched_counter_says_zero_and_an_unset_gauge_nothing(alone: list[object]) -> None:
    alone += [Counter("lapwing_x_total", "X."), Gauge("lapwing_x_lag", "Lag.")]
    assert values(exposition()) == {("lapwing_x_total", ()): 0}


def test_wrong_labels_are_a_bug_that_shows(alone: list[object]) -> None:
    counter = Counter("lapwing_x_total", "X.", "topic")
    alone.append(counter)
    counter.add(1)
    with pytest.raises(ValueError, match="zip"):
        exposition()


def test_reading_while_a_thread_counts_is_safe(alone: list[object]) -> None:
    counter = Counter("lapwing_x_total", "X.", "n")
    alone.append(counter)
    done = threading.Event()

    def count() -> None:
        for n in range(20_000):
            counter.add(1, str(n))
        done.set()

    thread = threading.Thread(target=count)
    thread.start()
    while not done.is_set():
        exposition()
    thread.join()
    assert len(values(exposition())) == 20_000


def test_every_number_is_listed_once_with_a_sentence_and_a_unit_in_its_name() -> None:
    made = [n for n in vars(selfmetrics).values() if isinstance(n, Counter | Gauge | Histogram)]
    assert set(map(id, made)) == set(map(id, selfmetrics.NUMBERS))
    assert len({n.name for n in made}) == len(made)
    for number in made:
        assert number.name.startswith("lapwing_") and number.sentence.endswith(".") and "\n" not in number.sentence
        assert number.name.endswith("_total") == isinstance(number, Counter), number.name
        assert not {"host", "path", "user", "host_id"} & set(number.labels), "labels must have few values"
    assert list(parse(exposition()))
