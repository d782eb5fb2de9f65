"""One run: hosts send, deeds are done, the account is made."""

from __future__ import annotations

import asyncio
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from shared.runtime.settings import Settings
from shared.store.clickhouse import open_store
from shared.store.port import Store, StoreError
from tests.support.chaos import account
from tests.support.chaos.deeds import (
    A_FULL_DISK,
    DECK,
    DISK,
    EVERYTHING,
    FEWER,
    FILL,
    JAVA,
    KILL,
    MORE,
    RESTART,
    STOP,
    Card,
    Deed,
    deeds,
)
from tests.support.chaos.disk import Disk
from tests.support.chaos.recovery import Recovery
from tests.support.chaos.senders import PREFIX, SHIFT_MS, Senders
from tests.support.chaos.victims import Victims
from tests.support.ports import free_port
from tests.support.waiting import eventually

PASSWORD = "correct horse battery staple"
# The event of the host that is furthest behind, so that one stuck partition is enough to show.
NEWEST = (
    f"SELECT toUnixTimestamp64Milli(min(newest)) FROM (SELECT host_id, max(ts) AS newest FROM samples "
    f"WHERE startsWith(host_id, '{PREFIX}') GROUP BY host_id)"
)
NEWEST_OF_THE_AGENT = f"SELECT toUnixTimestamp64Milli(max(ts)) FROM samples WHERE NOT startsWith(host_id, '{PREFIX}')"

TARGET = 15.0
PARTITIONS = 2
"""Fewer than there may be members of a group, so that one stands by and takes over from nothing."""

ROAD, API, AGENT = "road", "api", "agent"


@dataclass
class Report:
    seed: int
    seconds: float
    deeds: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    rollups_different: list[str] = field(default_factory=list)
    failed_attempts: int = 0
    repeats_on_topic: int = 0
    repeats_inserted: int = 0
    topic_not_stored: dict[str, int] = field(default_factory=dict)
    recovery: Recovery = field(default_factory=Recovery)
    caught_up: float = 0.0
    exit_status: int | None = None

    @property
    def clean(self) -> bool:
        """Every accepted event once, in base tables and rollups, and nothing left that a person has to see to."""
        wrong = self.lost or self.doubled or self.rollups_different or self.topic_not_stored
        return bool(self.accepted and not wrong and not self.recovery.waiting and self.exit_status == 0)

    def __str__(self) -> str:
        rows: list[tuple[str, object]] = [("seed", self.seed), ("seconds", f"{self.seconds:g}")]
        rows += sorted(self.deeds.items())
        rows += [
            ("deeds", self.deeds.total()),
            ("events accepted", self.accepted),
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("attempts to send that failed", self.failed_attempts),
            ("repeats on the topic", self.repeats_on_topic),
            ("repeats inserted", self.repeats_inserted),
            ("on the topic, not stored once", sum(self.topic_not_stored.values())),
            ("minutes rolled up otherwise", len(self.rollups_different)),
            ("caught up after the end", f"{self.caught_up:.1f} s"),
            ("recoveries measured", len(self.recovery.known)),
        ]
        for shown_by in (ROAD, API, AGENT):
            times = sorted(t for t, by, _ in self.recovery.known if by == shown_by)
            if times:
                rows.append(
                    (f"recovery, {shown_by}", f"median {times[len(times) // 2]:.1f} s, slowest {times[-1]:.1f} s")
                )
        for took, _, deed in sorted(self.recovery.known, key=lambda one: -one[0])[:5]:
            rows.append(("slowest recoveries", f"{took:.1f} s ({deed}, at {deed.at:g} s)"))
        late = sum(took > TARGET for took, _, _ in self.recovery.known)
        rows.append((f"over {TARGET:g} s", f"{late} of {len(self.recovery.known)}"))
        rows += [("not recovered", str(deed)) for deed, _ in self.recovery.waiting.values()]
        rows.append(("exit status", self.exit_status))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


async def chaos(
    seed: int,
    seconds: float,
    home: Path,
    *,
    hosts: int = 16,
    every: float = 0.2,
    pause: tuple[float, float] = (4.0, 12.0),
    deck: Sequence[Card] | None = None,
    disk: Disk | None = None,
    say: Callable[[str], None] = print,
) -> Report:
    """``hosts`` send ``1 / every`` events a second each. Leaves the log and the data in ``home``, which may be a
    ``disk`` that is filled now and then. ``deck``: what is done, everything by default.
    """
    deck = deck or ((*DECK, A_FULL_DISK) if disk else DECK)
    report = Report(seed, seconds)
    api = free_port()
    victims = Victims(
        home / "data",
        home / "lapwing.log",
        LAPWING_API__PORT=str(api),
        LAPWING_STORE__PORT=str(free_port()),
        LAPWING_ADMIN_PASSWORD=PASSWORD,
        LAPWING_LOG__FORMAT="text",
        LAPWING_KAFKA__PARTITIONS=str(PARTITIONS),
    )
    victims.start()
    try:
        await eventually(lambda: "Ctrl-C stops it." in victims.said(), 120, 0.2, that="everything is up")
        settings = told(victims)
        store = await eventually(lambda: _open(settings), 60)
        await store.command(account.COUNT_INSERTED)
        await store.close()
        senders = Senders(settings.kafka, hosts, every)
        sending = asyncio.create_task(senders.run())
        watching = asyncio.create_task(_watch(settings, report.recovery, api))
        begin = time.monotonic()
        for deed in deeds(seed, seconds, pause, deck=deck):
            await asyncio.sleep(max(0.0, begin + deed.at - time.monotonic()))
            say(f"{time.monotonic() - begin:6.1f} s  {deed}   ({senders.total} accepted)")
            await _do(deed, victims, disk, report)
            assert not sending.done(), sending.exception()
        with suppress(AssertionError):
            await eventually(lambda: not report.recovery.waiting, 60, 0.2)
        senders.end()
        await sending
        await _account(settings, senders, report)
        await asyncio.sleep(0)
        watching.cancel()
    finally:
        report.exit_status = await asyncio.to_thread(victims.stop)
    return report


async def _do(deed: Deed, victims: Victims, disk: Disk | None, report: Report) -> None:
    report.deeds[f"{deed.kind} {deed.target}"] += 1
    if deed.kind == MORE:
        await asyncio.to_thread(victims.more_ingest)
    elif deed.kind == FEWER:
        if not victims.extra:
            await asyncio.to_thread(victims.more_ingest)
            await asyncio.sleep(6.0)
        await asyncio.to_thread(victims.fewer_ingest)
    elif deed.kind == FILL:
        assert disk
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(deed.lasts)
        disk.free()
    elif deed.kind == KILL:
        await asyncio.to_thread(victims.kill, deed.target)
    else:
        process = await asyncio.to_thread(victims.process, deed.target)
        if deed.kind == RESTART:
            victims.signal(process, signal.SIGTERM)
        elif deed.kind == STOP:
            victims.signal(process, signal.SIGSTOP)
            await asyncio.sleep(deed.lasts)
            victims.signal(process, signal.SIGCONT)
    report.recovery.done(deed, _shown_by(deed), time.time())


def _shown_by(deed: Deed) -> tuple[str, ...]:
    if deed.target == EVERYTHING:
        return (ROAD, API, AGENT)
    if deed.target in ("ingest", "store", "broker", JAVA, DISK):
        return (ROAD,)
    return (deed.target,) if deed.target in (API, AGENT) else ()


async def _watch(settings: Settings, recovery: Recovery, api: int) -> None:
    """Looks again and again how far everything has come."""
    store: Store | None = None
    while True:
        await asyncio.sleep(0.25)
        if API in recovery.waiting:
            asked = time.time()
            if await asyncio.to_thread(_answers, api):
                recovery.progress(API, asked, time.time())
        if ROAD in recovery.waiting or AGENT in recovery.waiting:
            with suppress(StoreError):
                store = store or await open_store(settings, "chaos")
                for shown_by, sql, shift in ((ROAD, NEWEST, SHIFT_MS), (AGENT, NEWEST_OF_THE_AGENT, 0)):
                    if shown_by in recovery.waiting:
                        ((newest,),) = await store.query(sql, timeout=3.0)
                        recovery.progress(shown_by, (newest + shift) / 1000, time.time())


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def _account(settings: Settings, senders: Senders, report: Report) -> None:
    report.accepted, report.failed_attempts = senders.total, senders.failed
    ended = time.monotonic()
    store = await eventually(lambda: _open(settings), 60)

    async def stored() -> bool:
        with suppress(StoreError):
            ((rows,),) = await store.query(account.STORED)
            return bool(rows >= report.accepted)
        return False

    with suppress(AssertionError):
        await eventually(stored, 90, 0.5)
    report.caught_up = time.monotonic() - ended
    topic = await account.on_topic(settings.kafka)
    report.repeats_on_topic = topic.repeats

    async def agents_too() -> bool:
        report.topic_not_stored = await account.not_stored(store, topic)
        return not report.topic_not_stored

    async def rolled_up() -> bool:
        report.rollups_different = await account.different_rollups(store)
        return not report.rollups_different

    with suppress(AssertionError):
        await eventually(agents_too, 30, 0.5)
    with suppress(AssertionError):
        await eventually(rolled_up, 100, 1.0)
    ((inserted, kept),) = await store.query(account.INSERTED)
    report.repeats_inserted = inserted - kept
    result = await account.numbers(store, senders.accepted)
    report.lost, report.doubled = result.lost, result.doubled
    await store.close()


async def _open(settings: Settings) -> Store | None:
    with suppress(StoreError):
        return await open_store(settings, "chaos account")
    return None


def told(victims: Victims) -> Settings:
    """How to reach what the product's services reach."""
    environment = victims.environment()
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": environment["LAPWING_KAFKA__BOOTSTRAP_SERVERS"]},
            "clickhouse": {"dsn": environment["LAPWING_CLICKHOUSE__DSN"]},
        }
    )
