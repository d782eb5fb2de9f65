"""Decisions that need nobody: sequence windows, plans, cursors, CSV, limits, languages, numbers, broadcasts."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from services.api import messages, overload, parameters
from services.api.auth.limiter import MOST_KEYS, Limiter
from services.api.auth.passwords import generated
from services.api.broadcast import MOST_CLIENTS, QUEUE, Client, Hub, frame
from services.api.errors import ApiError
from services.api.history_plan import AUTO_POINTS, plan
from services.api.messages import Text
from services.api.paging import Cursor, read_cursor
from services.api.queries import Queries
from services.api.sequence import WINDOW, SequenceWindow
from services.api.service import others_may_write
from services.api.statements import statement
from services.api.tables_csv import as_csv
from shared.runtime import selfmetrics
from shared.runtime.settings import ClickhouseSettings, Settings
from tests.support.api import MemoryStore
from tests.support.waiting import eventually

NOW = 1_800_000_000_000
KEPT = ClickhouseSettings()


def window(*seqs: int) -> SequenceWindow:
    it = SequenceWindow()
    for seq in seqs:
        it.saw(seq)
    return it


@pytest.mark.parametrize(
    ("seqs", "percent"),
    [
        ((), None),
        ((7,), 100.0),
        ((0, 1, 2, 3), 100.0),
        ((0, 1, 3), 75.0),
        ((0, 3, 1, 2), 100.0),
        ((0, 1, 1, 1), 100.0),
        ((0, 9), 20.0),
        ((100_000, 0, 1), 100.0),
        ((0, 100_000, 100_001), 100.0),
    ],
)
def test_completeness(seqs: tuple[int, ...], percent: float | None) -> None:
    assert window(*seqs).completeness() == percent


@given(st.lists(st.integers(0, 3 * WINDOW), max_size=300))
def test_completeness_is_a_percentage_whatever_comes(seqs: list[int]) -> None:
    found = window(*seqs).completeness()
    assert found is None or 0 <= found <= 100


def test_old_gaps_are_forgotten() -> None:
    it = window(0, 10, *range(11, WINDOW + 20))
    assert it.completeness() == 100.0


@given(
    start=st.integers(0, NOW - 1),
    length=st.integers(1, 400 * 86_400_000),
    step=st.none() | st.sampled_from([1, 7, 60, 90, 3600, 86_400]),
)
def test_stretches_follow_each_other_and_cover_the_range(start: int, length: int, step: int | None) -> None:
    end = min(start + length, NOW)
    try:
        how = plan(start, end, step, NOW, KEPT)
    except ApiError as refused:
        assert refused.status == 422
        return
    if step is None:
        assert how.points <= AUTO_POINTS
    assert how.stretches[0].start <= start
    assert how.stretches[-1].end == end
    for a, b in zip(how.stretches, how.stretches[1:], strict=False):
        assert b.start == a.end + 1
    assert [s.tier for s in how.stretches] == sorted({s.tier for s in how.stretches}, key=["1h", "1m", "raw"].index)
    if start < NOW - KEPT.raw_days * 86_400_000:
        assert how.tier != "raw"
        assert how.step % 60 == 0


@given(key=st.floats(-1e14, 1e14), name=st.text(max_size=100))
def test_a_cursor_comes_back_as_it_was(key: float, name: str) -> None:
    cursor = Cursor("-started_at", key, name)
    assert read_cursor(cursor.written(), "-started_at") == cursor


@given(st.binary(max_size=60))
def test_garbage_is_no_cursor(garbage: bytes) -> None:
    with pytest.raises(ApiError):
        read_cursor(garbage.decode("latin-1") + "!", "-started_at")


def test_csv_leaves_numbers_alone_and_disarms_formulas() -> None:
    row = {"n": -1.5, "t": "-1.5", "none": None, "map": {"a": "=1"}, "yes": True, "list": [1]}
    assert as_csv(list(row), [row]) == b'n,t,none,map,yes,list\r\n-1.5,\'-1.5,,"{""a"":""=1""}",True,[1]\r\n'


def test_the_limiter_lets_so_many_pass_in_any_minute() -> None:
    limiter = Limiter()

    def attempt(key: str, now: float) -> int:
        wait = limiter.wait(key, 3, now)
        if not wait:
            limiter.count(key, now)
        return wait

    assert [attempt("a", t) for t in (0.0, 10.0, 20.0)] == [0, 0, 0]
    assert attempt("a", 30.0) == 30
    assert attempt("b", 30.0) == 0
    assert attempt("a", 61.0) == 0
    assert attempt("a", 61.0) == 9
    limiter.take_back("a")
    assert attempt("a", 61.0) == 0


def test_the_limiter_forgets_the_keys_that_are_longest_quiet() -> None:
    limiter = Limiter()
    for key in ("old", *range(MOST_KEYS)):
        limiter.count(key, 0.0)
    assert limiter.wait("old", 1, 0.0) == 0
    assert limiter.wait(MOST_KEYS - 1, 1, 0.0) == 60


@pytest.mark.parametrize(("header", "expected"), [("", "zh"), ("EN-gb", "en"), ("*", "zh"), ("en;q=0,zh", "zh")])
def test_language(header: str, expected: str) -> None:
    assert messages.language(header) == expected


def test_every_message_has_both_languages_with_the_same_parts() -> None:
    texts = {name: t for name, t in vars(messages).items() if isinstance(t, Text)}
    assert len(texts) > 30
    for name, text in texts.items():
        fields = [sorted({part.split("}")[0] for part in t.split("{")[1:]}) for t in text]
        assert fields[0] == fields[1], name
        assert all(text), name
        assert any("\u4e00" <= c <= "\u9fff" for c in text.zh), name
        assert text.en.isascii(), name


def test_overload_methods() -> None:
    assert overload.above([80, 80.1, -5]) == [0, 1, 0]
    assert overload.sigma([]) == []
    assert overload.sigma([1.0] * 30 + [9.0]) == [0] * 30 + [1]


def test_generated_passwords_differ() -> None:
    assert len({generated() for _ in range(50)}) == 50


def test_what_a_client_sent_is_said_back_harmlessly() -> None:
    assert parameters.shortened("a\r\nb\x1b[31m") == "a??b?[31m"
    assert len(parameters.shortened("x" * 1000)) == 81


def test_the_numbers_are_valid_prometheus_text_and_each_has_a_sentence() -> None:
    selfmetrics.API_REQUESTS.add(1, 'G"E\\T\n', "200")
    selfmetrics.API_SECONDS.observe(0.003)
    families = {f.name: f for f in text_string_to_metric_families(selfmetrics.exposition())}
    for number in selfmetrics.NUMBERS:
        family = families[number.name.removesuffix("_total")]
        assert family.documentation.endswith(".")
        assert family.type == number.kind
    labels = [s.labels["method"] for s in families["lapwing_api_requests"].samples]
    assert 'G"E\\T\n' in labels


def test_a_client_that_falls_behind_is_dropped_and_the_others_are_not() -> None:
    hub = Hub()
    slow, quick = Client(frozenset({"samples"}), None), Client(frozenset({"samples", "alerts"}), "h1")
    assert hub.join(slow)
    assert hub.join(quick)
    for _ in range(QUEUE + 1):
        hub.send("samples", "h1", frame("sample", b"{}"))
        quick.frames.get_nowait()
    assert (slow.reason, slow.ended.is_set()) == ("too slow", True)
    assert not quick.ended.is_set()
    assert len(hub) == 1
    assert hub.wants("alerts", "h1")
    assert not hub.wants("alerts", "h2")
    assert not hub.wants("anomalies", "h1")


def test_there_is_a_most_of_streams() -> None:
    hub = Hub()
    assert all(hub.join(Client(frozenset(), None)) for _ in range(MOST_CLIENTS))
    assert not hub.join(Client(frozenset(), None))
    hub.close()
    assert len(hub) == 0


class SlowStore(MemoryStore):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.asked = 0

    async def query(self, *_: object, **__: object) -> list[tuple[object, ...]]:
        self.asked += 1
        await self.let.wait()
        return [(1,)]


async def test_a_store_that_hangs_costs_its_askers_only_so_long() -> None:
    store = SlowStore()
    queries = Queries(timeout=-0.95, wait=0.05)  # a second is added to what the store is given
    queries.open([store])
    with pytest.raises(ApiError) as slow:
        await queries.rows("SELECT 1")
    assert (slow.value.status, slow.value.text) == (503, messages.STORE_SLOW)
    with pytest.raises(ApiError) as busy:
        await queries.rows("SELECT 1")
    assert (busy.value.status, busy.value.text) == (503, messages.BUSY)
    assert store.asked == 1, "the handle is still at work"
    store.let.set()
    await eventually(lambda: not queries._idle.empty())
    assert await queries.rows("SELECT 1") == [(1,)]


async def test_an_asker_that_goes_away_does_not_take_the_handle_along() -> None:
    store = SlowStore()
    queries = Queries()
    queries.open([store])
    asking = asyncio.create_task(queries.rows("SELECT 1"))
    await eventually(lambda: store.asked == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    store.let.set()
    assert await queries.rows("SELECT 1") == [(1,)]


def test_a_statement_is_one_line_without_its_comments() -> None:
    text = statement("then_rows", table="disks", columns="percent")
    assert text.startswith("SELECT toUnixTimestamp64Milli(ts), percent FROM disks FINAL WHERE host_id = {host:String}")
    assert "\n" not in text and "--" not in text


@pytest.mark.parametrize(
    ("dsn", "beside_up", "expected"),
    [("chdb://", False, False), ("chdb://", True, True), ("http://lapwing@store:8123/lapwing", False, True)],
)
def test_accounts_are_read_again_where_somebody_else_may_write_them(dsn: str, beside_up: bool, expected: bool) -> None:
    """Every three seconds, which an idle product on one machine would feel."""
    settings = Settings.model_validate({"clickhouse": {"dsn": dsn}, "store": {"beside_up": beside_up}})
    assert others_may_write(settings) is expected
