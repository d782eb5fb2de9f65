"""The promises of ``shared.bus.stream``: nothing acknowledged before it was handled, nothing lost, crashes reported."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka.structs import ConsumerRecord
from faust.types.tuples import Message as FaustMessage

from shared.bus import bell, stream
from shared.bus.kafka import publisher
from shared.bus.port import BusError, Message
from shared.bus.stream import StreamService, batches, stream_app
from shared.runtime import selfmetrics
from shared.runtime.settings import Settings
from shared.schemas.topics import ALL_TOPICS, Topic
from tests.support.broker import TestBus, embedded_broker, settings_for
from tests.support.waiting import eventually

Handler = Callable[[Sequence[Message]], Awaitable[None]]


both_ways = pytest.mark.parametrize("ahead", [False, True], ids=["one by one", "ahead"])


@asynccontextmanager
async def processing(
    bus: TestBus,
    name: str,
    topics: Sequence[Topic],
    handle: Handler,
    *,
    size: int = 100,
    seconds: float = 0.2,
    ahead: bool = False,
) -> AsyncIterator[StreamService]:
    # The embedded broker makes a group wait for about a session before a new member may join; Kafka allows no less
    # than 6 s.
    app = stream_app(bus.settings, name, session_timeout=1.5 if bus.kind == "embedded" else 6.0)
    batches(app, topics, size, seconds, handle, ahead=ahead)
    service = StreamService(name, app)
    try:
        await service.start()
        yield service
    finally:
        await service.stop()


async def publish(settings: Settings, topic: Topic, *values: str, key: str | None = None) -> None:
    out = publisher(settings.kafka, "test")
    await out.start()
    for value in values:
        await out.publish(topic, key or value, value.encode(), {"stage": b"test"})
    await out.stop()


class Notebook:
    """Remembers what it was given; refuses while told to."""

    def __init__(self) -> None:
        self.seen: list[Message] = []
        self.attempts = 0
        self.error: Exception | None = None

    async def __call__(self, batch: Sequence[Message]) -> None:
        self.attempts += 1
        if self.error:
            raise self.error
        self.seen += batch

    @property
    def values(self) -> list[str]:
        return sorted((m.value or b"").decode() for m in self.seen)


class Away(RuntimeError):
    """A temporary error of somebody else's, as a store's."""

    permanent = False


async def test_a_handler_gets_the_whole_message(bus: TestBus) -> None:
    topic, notebook = await bus.topic(), Notebook()
    before = time.time() * 1000
    async with processing(bus, bus.name(), [topic], notebook):
        await publish(bus.settings, topic, "hello", key="host-1")
        await eventually(lambda: notebook.seen)
    (message,) = notebook.seen
    assert (message.topic, message.key, message.value) == (topic.name, b"host-1", b"hello")
    assert (message.offset, dict(message.headers)) == (0, {"stage": b"test"})
    assert before - 1000 < message.timestamp_ms < time.time() * 1000 + 1000


async def test_a_group_that_is_new_begins_at_the_beginning(bus: TestBus) -> None:
    topic, notebook = await bus.topic(), Notebook()
    await publish(bus.settings, topic, "a", "b", "c")
    async with processing(bus, bus.name(), [topic], notebook):
        await eventually(lambda: notebook.values == ["a", "b", "c"])


async def test_one_processor_reads_several_topics(bus: TestBus) -> None:
    metrics, logs, notebook = await bus.topic(), await bus.topic(), Notebook()
    async with processing(bus, bus.name(), [metrics, logs], notebook):
        await publish(bus.settings, metrics, "sample")
        await publish(bus.settings, logs, "line")
        await eventually(lambda: notebook.values == ["line", "sample"])
        assert {m.topic for m in notebook.seen} == {metrics.name, logs.name}


async def test_a_batch_is_no_larger_than_asked(bus: TestBus) -> None:
    topic, sizes = await bus.topic(), []

    async def measure(batch: Sequence[Message]) -> None:
        sizes.append(len(batch))

    await publish(bus.settings, topic, *(f"{i}" for i in range(25)))
    async with processing(bus, bus.name(), [topic], measure, size=10):
        await eventually(lambda: sum(sizes) == 25)
    assert max(sizes) <= 10


@pytest.mark.parametrize("seconds", [0.01, 1.5])
async def test_a_batch_need_not_be_full(bus: TestBus, seconds: float) -> None:
    topic, notebook = await bus.topic(), Notebook()
    async with processing(bus, bus.name(), [topic], notebook, size=1000, seconds=seconds):
        for value in ("a", "b"):
            await publish(bus.settings, topic, value)
            await eventually(lambda value=value: value in notebook.values)


async def test_what_was_handled_is_not_given_again_after_a_restart(bus: TestBus) -> None:
    topic, group, first, second = await bus.topic(), bus.name(), Notebook(), Notebook()
    await publish(bus.settings, topic, "a", "b")
    async with processing(bus, group, [topic], first):
        await eventually(lambda: first.values == ["a", "b"])
    await publish(bus.settings, topic, "c")
    async with processing(bus, group, [topic], second):
        await eventually(lambda: second.seen)
    assert second.values == ["c"]


@pytest.mark.parametrize("error", [Away("the store is away"), BusError("the broker is away"), OSError("no route")])
async def test_a_temporary_error_is_retried_until_it_passes(bus: TestBus, error: Exception) -> None:
    topic, notebook = await bus.topic(), Notebook()
    notebook.error = error
    async with processing(bus, bus.name(), [topic], notebook):
        await publish(bus.settings, topic, *"abcde")
        await eventually(lambda: notebook.attempts >= 3)
        assert not notebook.seen
        notebook.error = None
        await eventually(lambda: notebook.values == list("abcde"))


@both_ways
async def test_nothing_is_lost_through_a_stop_during_a_retry(bus: TestBus, ahead: bool) -> None:
    topic, group, failing, healthy = await bus.topic(), bus.name(), Notebook(), Notebook()
    failing.error = Away("the store is away")
    await publish(bus.settings, topic, *(f"{i:02}" for i in range(40)))
    async with processing(bus, group, [topic], failing, size=7, ahead=ahead) as service:
        await eventually(lambda: failing.attempts >= 2)
        async with asyncio.timeout(60):  # without its bound it tries for ever
            await service.stop()
    async with processing(bus, group, [topic], healthy, size=7):
        await eventually(lambda: healthy.values == [f"{i:02}" for i in range(40)])


async def test_nothing_is_acknowledged_while_its_handler_runs(bus: TestBus) -> None:
    topic, group, second = await bus.topic(), bus.name(), Notebook()
    entered = asyncio.Event()

    async def hang(batch: Sequence[Message]) -> None:
        entered.set()
        await asyncio.Event().wait()

    await publish(bus.settings, topic, "a", "b", "c")
    async with processing(bus, group, [topic], hang):
        await entered.wait()
    async with processing(bus, group, [topic], second):
        await eventually(lambda: second.values == ["a", "b", "c"])


@both_ways
async def test_only_the_batch_that_failed_comes_again(bus: TestBus, ahead: bool) -> None:
    topic, group, second = await bus.topic(partitions=1), bus.name(), Notebook()
    handled: list[str] = []

    async def first(batch: Sequence[Message]) -> None:
        if handled:
            raise Away("full")
        handled.extend((m.value or b"").decode() for m in batch)

    await publish(bus.settings, topic, *(f"{i:02}" for i in range(30)))
    async with processing(bus, group, [topic], first, size=10, ahead=ahead):
        await eventually(lambda: handled)
    async with processing(bus, group, [topic], second, size=100):
        await eventually(lambda: second.values and second.values[-1] == "29")
    # The first batch is of ten, or of what had arrived in its time.
    assert handled + second.values == [f"{i:02}" for i in range(30)]


async def test_the_next_batch_is_at_hand_and_waits_its_turn(bus: TestBus) -> None:
    topic, name, values, at_work = await bus.topic(partitions=1), bus.name(), [], 0
    go_on = asyncio.Event()

    async def slow(batch: Sequence[Message]) -> None:
        nonlocal at_work
        at_work += 1
        await go_on.wait()
        assert at_work == 1, "one at a time"
        values.extend((m.value or b"").decode() for m in batch)
        at_work -= 1

    def taken() -> int:
        return sum(task.get_name() == f"batch of lapwing-{name}" for task in asyncio.all_tasks())

    await publish(bus.settings, topic, *(f"{i:02}" for i in range(50)))
    async with processing(bus, name, [topic], slow, size=10, ahead=True):
        await eventually(lambda: taken() == 2)
        assert at_work == 1
        go_on.set()
        await eventually(lambda: len(values) == 50)
    assert values == sorted(values)


async def test_who_is_behind_does_not_wait_a_second_whenever_the_buffers_are_full(
    bus: TestBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, notebook, many = await bus.topic(partitions=1), Notebook(), 20_000
    slept: list[float] = []
    out = publisher(bus.settings.kafka, "test")
    await out.start()
    for start in range(0, many, 2000):
        await asyncio.gather(*(out.publish(topic, f"{n}", b"%d" % n) for n in range(start, start + 2000)))
    await out.stop()
    async with processing(bus, bus.name(), [topic], notebook, size=500, ahead=True) as service:
        consumer = service._app.consumer
        sleep = consumer.sleep

        async def noted(seconds: float, **more: object) -> None:
            slept.append(seconds)
            await sleep(seconds, **more)

        monkeypatch.setattr(consumer, "sleep", noted)
        await eventually(lambda: len(notebook.seen) >= many)
    assert slept.count(1) < 2, "the buffers were full five times"


async def test_while_nothing_can_be_stored_no_more_is_held_than_fits_the_buffers(bus: TestBus) -> None:
    """Counted in messages: what the client and Faust have taken off the wire and nobody has finished with."""
    topic, notebook, many = await bus.topic(partitions=2), Notebook(), 16_000
    notebook.error = Away("the store is away")
    async with processing(bus, bus.name(), [topic], notebook, size=500, ahead=True):
        out = publisher(bus.settings.kafka, "test")
        await out.start()
        most = 0
        for start in range(0, many, 2000):
            await asyncio.gather(*(out.publish(topic, f"{n}", b"%d" % n) for n in range(start, start + 2000)))
            most = max(most, held())
        await out.stop()

        async def nothing_more_came() -> bool:
            before, attempts = held(), notebook.attempts
            await eventually(lambda: notebook.attempts > attempts)
            return held() <= before

        # Where others keep the machine busy the buffers are still filling when all has been published.
        await eventually(nothing_more_came)
        most = max(most, held())
        attempts = notebook.attempts
        await eventually(lambda: notebook.attempts >= attempts + 2)
        most = max(most, held())
        assert held() >= 500 and most <= MOST_HELD, "it stays so while the outage lasts"
        notebook.error = None
        # Each at least once: what came twice must not count for one that is still on its way.
        await eventually(lambda: len({m.value for m in notebook.seen}) >= many, within=120)
        assert {m.value for m in notebook.seen} == {b"%d" % n for n in range(many)}


MOST_HELD = 10_000


def held() -> int:
    gc.collect()
    return sum(type(o) is ConsumerRecord or isinstance(o, FaustMessage) for o in gc.get_objects())


@both_ways
async def test_any_other_error_ends_the_service_and_loses_nothing(bus: TestBus, ahead: bool) -> None:
    topic, group, broken, healthy = await bus.topic(), bus.name(), Notebook(), Notebook()
    broken.error = ValueError("a mistake of ours")
    await publish(bus.settings, topic, "a", "b")
    async with processing(bus, group, [topic], broken, ahead=ahead) as service:
        with pytest.raises(ValueError, match="a mistake of ours"):
            await asyncio.wait_for(service.watch(), 60)
        assert broken.attempts == 1
    async with processing(bus, group, [topic], healthy):
        await eventually(lambda: healthy.values == ["a", "b"])


async def test_a_permanent_error_is_not_retried(bus: TestBus) -> None:
    topic, notebook = await bus.topic(), Notebook()
    notebook.error = BusError("not authorised", permanent=True)
    async with processing(bus, bus.name(), [topic], notebook) as service:
        await publish(bus.settings, topic, "a")
        with pytest.raises(BusError, match="not authorised"):
            await asyncio.wait_for(service.watch(), 60)


async def test_three_apps_in_one_loop_each_see_everything(bus: TestBus) -> None:
    topic, notebooks = await bus.topic(), [Notebook(), Notebook(), Notebook()]
    names = [bus.name() for _ in notebooks]
    async with (
        processing(bus, names[0], [topic], notebooks[0]),
        processing(bus, names[1], [topic], notebooks[1]),
        processing(bus, names[2], [topic], notebooks[2]),
    ):
        await publish(bus.settings, topic, *"abc")
        await eventually(lambda: all(n.values == ["a", "b", "c"] for n in notebooks))


async def test_one_app_that_crashes_leaves_the_others_alone(bus: TestBus) -> None:
    topic, broken, healthy = await bus.topic(), Notebook(), Notebook()
    broken.error = ValueError("a mistake of ours")
    async with (
        processing(bus, bus.name(), [topic], broken) as dying,
        processing(bus, bus.name(), [topic], healthy) as living,
    ):
        await publish(bus.settings, topic, "a")
        with pytest.raises(ValueError, match="a mistake of ours"):
            await asyncio.wait_for(dying.watch(), 60)
        await dying.stop()
        watching = asyncio.create_task(living.watch())
        await publish(bus.settings, topic, "b")
        await eventually(lambda: healthy.values == ["a", "b"])
        assert not watching.done()
        watching.cancel()


async def test_lag_is_what_no_handler_has_finished_with(bus: TestBus) -> None:
    topic, group, notebook = await bus.topic(partitions=2), bus.name(), Notebook()
    notebook.error = Away("the store is away")
    await publish(bus.settings, topic, *(f"{i}" for i in range(20)))
    async with processing(bus, group, [topic], notebook) as service:
        await eventually(lambda: notebook.attempts and service.lag() == 20)
        notebook.error = None
        await eventually(lambda: service.lag() == 0)
        assert len(notebook.seen) == 20
    async with processing(bus, group, [topic], notebook) as service:
        await publish(bus.settings, topic, "one more")
        await eventually(lambda: "one more" in notebook.values)
        await eventually(lambda: service.lag() == 0, that="what was committed before is not lag")


async def test_a_group_that_stands_still_is_ended(bus: TestBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(stream, "STALLED_AFTER", 0.5)
    topic, notebook = await bus.topic(partitions=1), Notebook()
    async with processing(bus, bus.name(), [topic], notebook) as service:
        await publish(bus.settings, topic, "a")
        await eventually(lambda: notebook.seen)
        watching = asyncio.create_task(service.watch())
        service._app.consumer.pause_partitions(service._app.consumer.assignment())  # as Faust was seen to do
        await publish(bus.settings, topic, "b")
        with pytest.raises(BusError, match=r"has stood still for 0\.5 s with 1 messages to read"):
            await asyncio.wait_for(watching, 60)


async def test_a_group_whose_commits_stand_still_is_ended(bus: TestBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(stream, "STALLED_AFTER", 1.0)
    topic, notebook = await bus.topic(partitions=1), Notebook()
    async with processing(bus, bus.name(), [topic], notebook) as service:

        async def refused(_: object) -> bool:  # as when the coordinator refuses: Faust believes it has committed
            return False

        monkeypatch.setattr(service._app.consumer, "_commit", refused)
        watching = asyncio.create_task(service.watch())
        await publish(bus.settings, topic, "a", "b")
        with pytest.raises(BusError, match=r"has committed nothing for 1 s with 2 messages handled"):
            await asyncio.wait_for(watching, 60)
    assert notebook.values == ["a", "b"]


async def test_commits_that_move_keep_it_going(bus: TestBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(stream, "STALLED_AFTER", 8.0)  # the first commit takes two COMMIT_SECONDS
    topic, notebook = await bus.topic(partitions=1), Notebook()
    async with processing(bus, bus.name(), [topic], notebook) as service:
        watching = asyncio.create_task(service.watch())
        await publish(bus.settings, topic, "a")

        async def committed() -> bool:
            return (await service._committed())[topic.name, 0] == 1

        await eventually(committed)
        assert not watching.done()
        watching.cancel()


async def test_nothing_is_said_of_a_stream_that_moves(bus: TestBus, caplog: pytest.LogCaptureFixture) -> None:
    topic, notebook = await bus.topic(), Notebook()
    async with processing(bus, bus.name(), [topic], notebook) as service:
        await publish(bus.settings, topic, "a")
        await eventually(lambda: notebook.seen)
        consumer = service._app.consumer
        thread = consumer._thread
        thread.time_started -= 3600
        for tp in thread._ensure_consumer().assignment():
            # New messages have just come and are not read yet, as so often.
            thread._ensure_consumer()._subscription.subscription.assignment.state_value(tp).highwater += 5
        await consumer.verify_all_partitions_active()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("tells_ids", [True, False])
async def test_a_topic_deleted_and_made_anew_is_read_from_its_beginning(
    bus: TestBus, monkeypatch: pytest.MonkeyPatch, tells_ids: bool
) -> None:
    async def none(*_: object) -> dict[str, bytes]:
        return {}

    if not tells_ids:  # as a broker older than 3.1
        monkeypatch.setattr(stream, "topic_ids", none)
    monkeypatch.setattr(stream, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(stream, "LOOK_WITHIN", 0.2)  # what is read before a longer look ends is read again after it
    monkeypatch.setattr(stream, "METADATA_SECONDS", 1.0)
    topic, notebook = await bus.topic(partitions=1), Notebook()
    async with processing(bus, bus.name(), [topic], notebook) as service:
        watching = asyncio.create_task(service.watch())
        await publish(bus.settings, topic, *(f"old {n:02}" for n in range(20)))
        await eventually(lambda: len(notebook.seen) == 20)
        await bus.delete(topic)
        await bus.made_anew(topic, partitions=1)
        await publish(bus.settings, topic, *(f"new {n}" for n in range(5)))
        await eventually(lambda: notebook.values[:5] == [f"new {n}" for n in range(5)])

        async def committed() -> bool:
            return (await service._committed())[topic.name, 0] == 5

        await eventually(committed)
        await eventually(lambda: service.lag() == 0)
        assert not watching.done()
        watching.cancel()
    assert len(notebook.seen) == 25, "and each message once"


async def test_a_topic_made_anew_that_has_outgrown_the_old_one_by_the_next_look_is_read_from_its_beginning(
    bus: TestBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "METADATA_SECONDS", 600.0)
    topic, notebook, new = await bus.topic(partitions=1), Notebook(), [f"new {n:02}" for n in range(20)]
    async with processing(bus, bus.name(), [topic], notebook) as service:
        await publish(bus.settings, topic, *(f"old {n}" for n in range(5)))

        async def committed() -> int:
            return (await service._committed())[topic.name, 0]

        async def all_old() -> bool:
            return await committed() == 5

        await eventually(all_old)
        await service._look()
        # Nobody asks for messages meanwhile, so that nobody sees the topic missing or short.
        client = service._app.consumer._thread._ensure_consumer()
        client.pause(*client.assignment())
        await eventually(lambda: not client._fetcher._pending_tasks)
        await bus.delete(topic)
        await bus.made_anew(topic, partitions=1)
        await publish(bus.settings, topic, *new)
        client.resume(*client.assignment())
        await eventually(lambda: new[-1] in notebook.values, that="it goes on where it was in the old one")
        assert new[0] not in notebook.values
        await service._look()
        await eventually(lambda: set(new) <= set(notebook.values))

        async def all_new() -> bool:
            return await committed() == 20

        await eventually(all_new)
        await service._look()
        assert service.lag() == 0 and not service._app.made_anew


async def test_messages_that_come_while_the_ends_are_asked_for_make_no_new_topic(
    bus: TestBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker's answer that is older than what has been read by now read the whole topic again."""
    topic, notebook = await bus.topic(partitions=1), Notebook()
    async with processing(bus, bus.name(), [topic], notebook) as service:
        await publish(bus.settings, topic, "a")
        await eventually(lambda: notebook.values == ["a"])
        ask = service._app.consumer.highwaters

        async def answered_late(*partitions: object) -> object:
            answer = await ask(*partitions)
            await publish(bus.settings, topic, *"bcd")
            await eventually(lambda: notebook.values == ["a", "b", "c", "d"])
            return answer

        monkeypatch.setattr(service._app.consumer, "highwaters", answered_late)
        await service._look()
        await publish(bus.settings, topic, "e")
        await eventually(lambda: "e" in notebook.values)
        assert notebook.values == ["a", "b", "c", "d", "e"]


async def test_a_group_that_rejoins_while_its_topic_is_away_reads_all_of_the_new_one(
    bus: TestBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member without partitions let messages flow on through the next rebalance, and cleared them away at its end."""
    monkeypatch.setattr(stream, "METADATA_SECONDS", 1.0)
    topic, reader, new = await bus.topic(partitions=1), Deliberate(), [f"new {n}" for n in range(5)]
    async with processing(bus, bus.name(), [topic], reader, size=1) as service:
        await publish(bus.settings, topic, "old")
        await eventually(lambda: reader.values == ["old"])
        await bus.delete(topic)
        await eventually(lambda: not service.partitions(topic) and not service._app.rebalancing)
        reader.takes_its_time_with(service, monkeypatch)
        await bus.made_anew(topic, partitions=1)
        await publish(bus.settings, topic, *new)
        await eventually(lambda: reader.values[:5] == new)
        await eventually(lambda: service.lag() == 0)
    assert len(reader.seen) == 6, "and each message once"


async def test_a_member_that_had_nothing_to_read_takes_over_without_a_loss(
    bus: TestBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bus.kind == "embedded":
        pytest.skip("the embedded broker keeps one member a group")
    topic, group, one, two = await bus.topic(partitions=1), bus.name(), Deliberate(), Deliberate()
    async with (
        processing(bus, group, [topic], one, size=1) as first,
        processing(bus, group, [topic], two, size=1) as second,
    ):
        await publish(bus.settings, topic, "a")
        await eventually(lambda: {*one.values, *two.values} == {"a"})
        leaving, idle, reader = (first, second, two) if first.partitions(topic) else (second, first, one)
        assert not idle.partitions(topic)
        reader.takes_its_time_with(idle, monkeypatch)
        await leaving.stop()
        await publish(bus.settings, topic, *"bcdef")
        await eventually(lambda: {*one.values, *two.values} == set("abcdef"))


class Deliberate(Notebook):
    """Is at work on its first message for as long as a rebalance lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.service: StreamService | None = None

    def takes_its_time_with(self, service: StreamService, monkeypatch: pytest.MonkeyPatch) -> None:
        """What can arrive during the next rebalance of ``service`` does."""
        self.service = service
        consumer = service._app.consumer
        seek = consumer.perform_seek

        def arrived() -> bool:
            return not consumer.flow_active or max((o or 0 for o in consumer._read_offset.values()), default=0) >= 4

        async def while_messages_come() -> None:
            await eventually(arrived)
            await seek()
            await eventually(arrived)

        monkeypatch.setattr(consumer, "perform_seek", while_messages_come)

    async def __call__(self, batch: Sequence[Message]) -> None:
        if self.service:
            app = self.service._app
            await eventually(lambda: not app.rebalancing)
        await super().__call__(batch)


async def test_what_came_while_the_flow_stood_still_is_read_afterwards(
    bus: TestBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust throws it away and goes back to what was committed: also where that is nothing yet."""
    topic, notebook, went_back = await bus.topic(partitions=1), Notebook(), asyncio.Event()
    async with processing(bus, bus.name(), [topic], notebook) as service:
        consumer = service._app.consumer
        seek = consumer.perform_seek

        async def go_back() -> None:
            await seek()
            went_back.set()

        monkeypatch.setattr(consumer, "perform_seek", go_back)
        consumer.stop_flow()  # as at the beginning of every rebalance
        await publish(bus.settings, topic, "a", "b")
        await eventually(lambda: went_back.is_set() or consumer._thread._consumer._fetcher._records)
        consumer.resume_flow()
        await publish(bus.settings, topic, "c")
        await eventually(lambda: notebook.values == ["a", "b", "c"])


async def test_lag_and_age_are_metrics_by_group_and_topic(bus: TestBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_EVERY", 0.1)
    topic, group, notebook = await bus.topic(partitions=1), bus.name(), Notebook()
    labels = (f"lapwing-{group}", topic.name)
    notebook.error = Away("the store is away")
    async with processing(bus, group, [topic], notebook) as service:
        watching = asyncio.create_task(service.watch())
        await publish(bus.settings, topic, *"abc")
        await eventually(lambda: selfmetrics.BUS_LAG.value(*labels) == 3)
        await eventually(lambda: (selfmetrics.BUS_OLDEST_SECONDS.value(*labels) or 0) > 1)
        notebook.error = None
        await eventually(lambda: selfmetrics.BUS_LAG.value(*labels) == 0)
        await eventually(lambda: selfmetrics.BUS_OLDEST_SECONDS.value(*labels) == 0)
        watching.cancel()


async def test_a_handler_that_waits_for_hours_is_not_standing_still(
    bus: TestBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(stream, "STALLED_AFTER", 1.0)
    topic, notebook = await bus.topic(partitions=1), Notebook()
    notebook.error = Away("the store is away")
    async with processing(bus, bus.name(), [topic], notebook) as service:
        watching = asyncio.create_task(service.watch())
        await publish(bus.settings, topic, "a")
        await eventually(lambda: notebook.attempts >= 5)  # the pauses between them are longer than that
        assert not watching.done()
        watching.cancel()


async def test_an_outage_of_hours_is_shorter_than_the_client_waits(bus: TestBus) -> None:
    """Behind a batch that is at work for longer than the poll interval aiokafka does not rejoin, and Faust stands still
    for good: half an hour without a store was enough.
    """
    topic = await bus.topic(partitions=1)
    async with processing(bus, bus.name(), [topic], Notebook()) as service:
        client = service._app.consumer._thread._consumer
        assert client._coordinator._max_poll_interval >= 24 * 3600


async def test_stopping_twice_and_before_the_start_is_harmless(bus: TestBus) -> None:
    topic = await bus.topic()
    async with processing(bus, bus.name(), [topic], Notebook()) as service:
        await service.stop()
        await service.stop()
    app = stream_app(bus.settings, bus.name())
    batches(app, [topic], 10, 0.2, Notebook())
    await StreamService("never", app).stop()


async def test_an_outage_of_the_broker_is_survived(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with embedded_broker(ALL_TOPICS[:1], partitions=1) as broker:
        settings, notebook = settings_for(broker.address, tmp_path), Notebook()
        bus = TestBus("embedded", settings, broker)
        async with processing(bus, "test", ALL_TOPICS[:1], notebook) as service:
            watching = asyncio.create_task(service.watch())
            await publish(settings, ALL_TOPICS[0], "before")
            await eventually(lambda: notebook.values == ["before"])
            broker.interrupt()
            await asyncio.sleep(1)  # an outage takes time; nothing is waited for
            broker.resume()
            await publish(settings, ALL_TOPICS[0], "later")
            await eventually(lambda: "later" in notebook.values)
            assert not watching.done()
            watching.cancel()


async def test_a_broker_that_is_away_at_the_start_is_said_in_words(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with embedded_broker(ALL_TOPICS[:1]) as broker:
        bus = TestBus("embedded", settings_for(broker.address, tmp_path), broker)
        broker.interrupt()
        with pytest.raises(BusError, match="nothing listens at"):
            async with processing(bus, "test", ALL_TOPICS[:1], Notebook()):
                pass


async def test_two_members_of_a_group_share_its_topic(bus: TestBus) -> None:
    if bus.kind == "embedded":
        pytest.skip("the embedded broker keeps one member a group; with two, joining is a matter of luck")
    topic, group, one, two = await bus.topic(partitions=4), bus.name(), Notebook(), Notebook()
    async with processing(bus, group, [topic], one):
        async with processing(bus, group, [topic], two):
            await publish(bus.settings, topic, *(f"{i:03}" for i in range(100)))
            await eventually(lambda: len({*one.values, *two.values}) == 100)
        await publish(bus.settings, topic, "last")
        await eventually(lambda: "last" in one.values)


async def test_what_is_published_without_a_ring_is_found_as_well(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with embedded_broker(ALL_TOPICS[:1], partitions=1) as broker:
        settings, notebook = settings_for(broker.address, tmp_path), Notebook()
        bell.take_down(broker.address)
        outside = publisher(settings.kafka, "another process")
        bell.hang(broker.address)
        await outside.start()
        async with processing(TestBus("embedded", settings, broker), "test", ALL_TOPICS[:1], notebook):
            for value in ("first", "second"):
                await outside.publish(ALL_TOPICS[0], value, value.encode())
                await eventually(lambda value=value: value in notebook.values)  # type: ignore[misc]
        await outside.stop()


async def test_the_first_batches_do_not_wait_until_they_are_full(bus: TestBus) -> None:
    topic, notebook = await bus.topic(), Notebook()
    async with processing(bus, bus.name(), [topic], notebook, seconds=600):
        await publish(bus.settings, topic, "first")
        await eventually(lambda: notebook.values == ["first"])
        await publish(bus.settings, topic, "second")
        await eventually(lambda: notebook.values == ["first", "second"])


async def test_a_batch_that_is_waited_for_need_not_be_full(bus: TestBus) -> None:
    topic, notebook = await bus.topic(partitions=1), Notebook()
    async with processing(bus, bus.name(), [topic], notebook, seconds=600) as service:
        for number in range(5):  # the first few batches do not wait anyway
            await publish(bus.settings, topic, f"{number}")

            def handled(number: int = number) -> bool:
                service.hasten()
                return f"{number}" in notebook.values

            await eventually(handled)


async def test_a_stop_takes_what_has_arrived_along(bus: TestBus) -> None:
    topic, notebook = await bus.topic(), Notebook()
    numbers = [str(n) for n in range(30)]
    async with processing(bus, bus.name(), [topic], notebook, seconds=600):
        for number in numbers[:5]:  # the first few batches do not wait
            await publish(bus.settings, topic, number)
        await publish(bus.settings, topic, *numbers[5:])
    assert notebook.values == sorted(numbers)


async def test_a_stop_does_not_wait_for_a_handler_that_cannot(bus: TestBus) -> None:
    topic, notebook = await bus.topic(), Notebook()
    notebook.error = Away("the store is away")
    async with processing(bus, bus.name(), [topic], notebook):
        await publish(bus.settings, topic, "kept")
        await eventually(lambda: notebook.attempts)
    assert notebook.values == []
