"""The completeness ledger: what numbered samples, in whatever order and however often they come, make of it."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.ledger import COMPLETENESS, report
from services.ingest.rollup_sql import statements
from shared.bus.port import Message
from shared.runtime import selfmetrics
from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.migrate import migrate, migrations
from tests.support.ledger_road import HOUR, Road, message, sample
from tests.support.samples import T0
from tests.support.store import empty_store, fresh_store  # noqa: F401

NUMBERS = ("expected", "stored", "missing")


@pytest.fixture
def ledger_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hours of the ledger are computed and the charts are not, which takes a tenth of the time."""
    monkeypatch.setattr(
        "services.ingest.rollups.statements",
        lambda base, tier: [s for s in statements(base, tier) if s.sql == COMPLETENESS],
    )


@pytest.fixture
async def road(fresh_store: Settings, ledger_alone: None) -> AsyncIterator[Road]:  # noqa: F811
    store = await open_store(fresh_store, "test")
    yield Road(store, fresh_store)
    await store.close()


def three(expected: int, stored: int) -> dict[str, int]:
    return {"expected": expected, "stored": stored, "missing": expected - stored}


async def test_an_hour_without_loss_is_whole_and_nothing_is_noted_of_it(road: Road) -> None:
    await road.bring(*(message(sample(n, 10 + n, 10)) for n in range(5)))
    assert await road.hours() == {
        0: {
            "expected": 5,
            "stored": 5,
            "missing": 0,
            "late": 0,
            "backfilled": 0,
            "dropped": {},
            "dead_letters": 0,
            "percent": 100.0,
        }
    }
    for table in ("arrivals", "agent_drops", "dead_letters"):
        assert await road.store.query(f"SELECT count() FROM {table}") == [(0,)]


async def test_a_gap_within_a_run_is_missing_until_it_is_filled(road: Road) -> None:
    await road.bring(message(sample(1, 1)), message(sample(4, 4)))
    assert (await road.hours(columns=("missing", "percent")))[0] == {"missing": 2, "percent": 50.0}
    await road.bring(message(sample(2, 2), sample(3, 3), delay=7200, spooled=True))
    found = (await road.hours())[0]
    assert found["missing"] == 0 and found["percent"] == 100.0, "late events recompute a closed hour"
    assert (found["late"], found["backfilled"]) == (2, 2)


async def test_repeats_and_a_topic_read_again_change_nothing(road: Road) -> None:
    topic = [
        message(sample(1, 1)),
        message(sample(2, 2), delay=60),
        message(sample(3, 3), delay=2, spooled=True),
        message(b"garbage", sent_ms=T0 + 3000),
        message(sample(5, 5, dropped={"too_many": 3})),
    ]
    await road.bring(*topic)
    before = await road.hours()
    assert before[0] == {
        **three(5, 4), "late": 1, "backfilled": 1, "dropped": {"too_many": 3}, "dead_letters": 1, "percent": 80.0,
    }  # fmt: skip
    road.clock.advance(3600)
    for _ in range(2):
        await road.bring(*reversed(topic))
        await road.bring(*topic)
    assert await road.hours() == before


async def test_what_came_both_live_and_by_the_spool_is_judged_the_same_in_either_order(road: Road) -> None:
    for host, order in (("a", (0, 1)), ("b", (1, 0))):
        event = sample(1, 1, host=host)
        ways = (message(event, delay=45, host=host), message(event, delay=20, spooled=True, host=host))
        for way in order:
            await road.bring(ways[way])
        assert (await road.hours(host, ("late", "backfilled")))[0] == {"late": 1, "backfilled": 1}


async def test_numbers_skipped_between_two_runs_are_not_missing(road: Road) -> None:
    """A kill leaves a block of reserved numbers unused."""
    await road.bring(*(message(sample(n, n)) for n in (1, 2, 3)))
    await road.bring(*(message(sample(n, 253 + n, 257)) for n in (4, 5, 6)))
    assert (await road.hours(columns=NUMBERS))[0] == three(6, 6)


async def test_the_first_events_of_a_run_are_missed_too(road: Road) -> None:
    await road.bring(message(sample(1, 1)), message(sample(9, 205, 201)))
    assert (await road.hours(columns=NUMBERS))[0] == three(1 + 5, 2)


async def test_a_run_over_several_hours_is_expected_by_difference(road: Road) -> None:
    await road.bring(message(sample(HOUR - 0.001, 100, 99)), message(sample(HOUR, 101, 99)))
    await road.bring(message(sample(HOUR + 5, 104, 99)), message(sample(3 * HOUR, 110, 99)))
    assert await road.hours(columns=NUMBERS) == {0: three(2, 1), 1: three(4, 2), 3: three(6, 1)}
    # What was missing at the end of an hour is found, and the hours after it are right without being computed again.
    await road.bring(message(sample(2 * HOUR - 1, 107, 99), delay=HOUR))
    assert await road.hours(columns=NUMBERS) == {0: three(2, 1), 1: three(7, 3), 3: three(3, 1)}


async def test_agents_that_do_not_name_their_run_are_judged_by_the_gaps(road: Road) -> None:
    await road.bring(message(sample(1, 50, 0)), message(sample(2, 51, 0)), message(sample(4, 53, 0)))
    await road.bring(message(sample(HOUR, 60, 0)))
    assert await road.hours(columns=NUMBERS) == {0: three(4, 3), 1: three(7, 1)}


async def test_writers_without_numbers_are_expected_to_have_sent_what_came(road: Road) -> None:
    await road.bring(*(message(sample(n, 0, 0)) for n in range(3)))
    await road.bring(message(sample(HOUR, 0, 0)))
    assert await road.hours(columns=NUMBERS) == {0: three(3, 3), 1: three(1, 1)}


async def test_a_host_that_counts_anew_has_lost_nothing(road: Road) -> None:
    """The disk that kept its numbers was lost: they begin at the time in milliseconds."""
    await road.bring(message(sample(1, 5, 0)), message(sample(2, T0, 0)), message(sample(HOUR, T0 + 1, 0)))
    assert await road.hours(columns=NUMBERS) == {0: three(2, 2), 1: three(1, 1)}


async def test_what_an_agent_dropped_is_told_by_hour_and_reason(road: Road) -> None:
    await road.bring(
        message(sample(1, 1)),
        message(sample(2, 2, dropped={"too_many": 5})),
        message(sample(3, 3, dropped={"too_many": 7})),
        message(sample(HOUR, 4, dropped={"too_many": 7})),
        message(sample(2 * HOUR, 5)),
        message(sample(3 * HOUR, 6, dropped={"too_many": 7, "refused": 1})),
        message(sample(3 * HOUR + 1, 300, 300, dropped={"pending": 2})),
    )
    found = await road.hours(columns=("dropped",))
    assert [found[h]["dropped"] for h in range(4)] == [{"too_many": 7}, {}, {}, {"refused": 1, "pending": 2}]
    assert (await road.fleet())["dropped"] == {"too_many": 7, "refused": 1, "pending": 2}


async def test_dead_letters_are_counted_for_the_host_in_their_hour(road: Road) -> None:
    bad = [message(b"{}", sent_ms=T0 + HOUR * 1000), message(b"{}\n{}", sent_ms=T0 + HOUR * 1000 + 1)]
    await road.bring(*bad, message(b"{}", sent_ms=2**62, host="other"), message(b"{}", sent_ms=-5, host="other"))
    await road.bring(*bad)
    found = await road.hours()
    assert found == {1: {**three(0, 0), "late": 0, "backfilled": 0, "dropped": {}, "dead_letters": 3, "percent": None}}


async def test_a_late_line_that_the_store_refuses_has_not_arrived(road: Road) -> None:
    line = json.dumps(sample(2, 2)).replace('"seq": 2', '"seq": -0').encode()  # which only the store minds
    await road.bring(message(sample(1, 1)), message(line, sent_ms=T0 + 90_000))
    found = (await road.hours())[0]
    assert (found["stored"], found["late"], found["dead_letters"]) == (1, 0, 1)


async def test_hosts_are_counted_apart(road: Road) -> None:
    for host, lost in (("a", 3), ("b", 6)):
        await road.bring(*(message(sample(n * 1000, n, host=host), host=host) for n in range(1, 8) if n != lost))
    assert await road.hours("a", NUMBERS) == {0: three(2, 2), 1: three(5, 4)}
    assert await road.hours("b", NUMBERS) == {0: three(3, 3), 1: three(4, 3)}
    assert [(await road.fleet(host))["expected"] for host in ("a", "b")] == [7, 7]


async def test_the_metrics_sum_over_all_hosts(road: Road) -> None:
    await road.bring(message(sample(1, 1)), message(sample(2, 4)), message(sample(1, 1, host="whole"), host="whole"))
    await road.rollups.round()
    await report(road.store, road.clock.now_ms())
    assert selfmetrics.HOST_MISSING_EVENTS.value() == 2
    assert selfmetrics.HOSTS_INCOMPLETE.value() == 1


async def test_a_store_with_data_is_upgraded(empty_store: Settings) -> None:  # noqa: F811
    store = await open_store(empty_store, "test")
    await migrate(empty_store, store, known=migrations()[:5])
    old = message(sample(1, 7, 0)).value
    assert old is not None
    await store.insert_lines("landing_metrics", old)
    assert "0007_completeness" in await migrate(empty_store, store)
    road = Road(store, empty_store)
    await road.bring(message(sample(3, 9, 0)), message(sample(4, 257, 257)))
    assert await store.query("SELECT seq, run, cpu_count FROM samples ORDER BY ts") == [
        (7, 0, 0),
        (9, 0, 0),
        (257, 257, 0),
    ]
    assert (await road.hours(columns=NUMBERS))[0] == three(4, 3)
    await store.close()


_hosts = itertools.count()
LIVES_END_MS = T0 + 25 * 4000 * 1000
Life = list[tuple[str, int]]
LIVES = st.lists(
    st.tuples(
        st.sampled_from(("stored", "stored", "spooled", "late", "lost", "dropped", "stop", "kill")),
        st.integers(1, 4000),
    ),
    min_size=1,
    max_size=25,
)


class Model:
    """An agent's life, and what the ledger should say of it."""

    def __init__(self, host: str, life: Life) -> None:
        self.host = host
        self.messages: list[Message] = []
        self._second, self._seq, self._run, self._given_up = 0.0, 1000, 1000, 0
        self._rows: dict[tuple[int, int], list[tuple[int, bool, bool, int]]] = defaultdict(list)
        for what, number in life:
            self._live(what, number)

    def _live(self, what: str, number: int) -> None:
        if what in ("stop", "kill"):
            self._seq += number % 256 if what == "kill" else 0
            self._run, self._given_up = self._seq, 0
            return
        seq, self._seq = self._seq, self._seq + 1
        self._second += number
        if what == "lost":
            return
        if what == "dropped":
            self._given_up += number
        late, spooled = what == "late", what == "spooled"
        dropped = {"too_many": self._given_up} if self._given_up else None
        event = sample(self._second, seq, self._run, host=self.host, dropped=dropped)
        self.messages.append(message(event, delay=31 if late else 29, spooled=spooled, host=self.host))
        hour = int(self._second // HOUR)
        self._rows[self._run, hour].append((seq, late, spooled, self._given_up))

    def hours(self) -> dict[int, dict[str, Any]]:
        out: dict[int, dict[str, Any]] = {}
        reached: dict[int, int] = {}
        told: dict[int, int] = {}
        for run, hour in sorted(self._rows, key=lambda key: key[1]):
            rows = self._rows[run, hour]
            last, given_up = max(r[0] for r in rows), max(r[3] for r in rows)
            row = out.setdefault(hour, {**three(0, 0), "late": 0, "backfilled": 0, "dropped": {}})
            row["expected"] += last - reached.get(run, run - 1)
            row["stored"] += len(rows)
            row["missing"] = row["expected"] - row["stored"]
            row["late"] += sum(r[1] for r in rows)
            row["backfilled"] += sum(r[2] for r in rows)
            if more := given_up - told.get(run, 0):
                row["dropped"]["too_many"] = row["dropped"].get("too_many", 0) + more
            reached[run], told[run] = last, max(given_up, told.get(run, 0))
        return out


@given(life=LIVES, order=st.randoms(use_true_random=False), since=st.integers(1, 24))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_ledger_is_right_whatever_an_agent_lives_through(
    road: Road, life: Life, order: Any, since: int
) -> None:
    model = Model(f"host-{next(_hosts)}", life)
    if road.clock.now_ms() < LIVES_END_MS:
        road.clock.jump((LIVES_END_MS - road.clock.now_ms()) / 1000)
    messages = model.messages * 2
    order.shuffle(messages)
    while messages:
        size = order.randint(1, len(messages))
        await road.bring(*messages[:size])
        del messages[:size]
        if order.random() < 0.3:
            await road.rollups.round()
    columns = ("expected", "stored", "missing", "late", "backfilled", "dropped")
    hours = await road.hours(model.host, columns)
    assert hours == model.hours()
    first = road.clock.now_ms() // 3_600_000 + 1 - since - T0 // 3_600_000
    recent = [row for hour, row in hours.items() if hour >= first]
    fleet = await road.fleet(model.host, since)
    for column in ("expected", "stored", "late", "backfilled"):
        assert fleet.get(column, 0) == sum(row[column] for row in recent), column
    dropped = sum(row["dropped"].get("too_many", 0) for row in recent)
    assert fleet.get("dropped", {}).get("too_many", 0) == dropped
