"""Users made by the command line, on a real broker that allows nobody anything that was not granted."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from services import compose
from services.__main__ import main
from services.kafka_users.rights import TOPICS, USES
from shared.broker.local import LocalKafka
from shared.bus.kafka import admin, publisher, tail
from shared.bus.port import BusError
from shared.runtime import settings as settings_module
from shared.runtime.lifecycle import Service
from shared.runtime.settings import KafkaSettings, Settings
from shared.schemas.topics import ALL_TOPICS, CONTROL, LOGS, METRICS, Topic
from shared.store.clickhouse import open_store
from tests.support.secured_kafka import SecuredKafka
from tests.support.store import fresh_store
from tests.support.waiting import eventually

__all__ = ["fresh_store"]


Lapwing = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lapwing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lapwing:
    """Its command line as the user of ``environment``: status, what it printed, what it complained."""

    def run(environment: dict[str, str], *words: str) -> tuple[int, str, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status = main(words)
        return (status, *capsys.readouterr())

    return run


def host() -> str:
    return f"web-{uuid4().hex[:8]}"


def settings_of(printed: str) -> KafkaSettings:
    """As a person puts them into a service's environment."""
    lines = [line for line in printed.splitlines() if not line.startswith("#")]
    return settings_module.load(dict(line.split("=", 1) for line in lines)).kafka


async def publish(settings: KafkaSettings, topic: Topic) -> None:
    out = publisher(settings, "test", timeout=8.0)
    await out.start()
    try:
        await out.publish(topic, "host-1", b"x")
    finally:
        await out.stop()


async def read(settings: KafkaSettings, topic: Topic) -> None:
    it = tail(settings, [topic], "test")
    await it.start()
    try:
        async with asyncio.timeout(3):
            async for _ in it.messages():
                return
    finally:
        await it.stop()


def test_an_agent_may_write_what_agents_write_and_nothing_else(secured_kafka: SecuredKafka, lapwing: Lapwing) -> None:
    status, printed, _ = lapwing(secured_kafka.environment(), "agents", "enrol", host())
    assert status == 0
    agent = settings_of(printed)
    for topic in (METRICS, LOGS):
        asyncio.run(publish(agent, topic))
    for topic in set(ALL_TOPICS) - {METRICS, LOGS}:
        with pytest.raises(BusError, match=f"{agent.username}.*grant it WRITE on the topic {topic.name}$") as refused:
            asyncio.run(publish(agent, topic))
        assert refused.value.permanent
    with pytest.raises(TimeoutError):  # nothing comes, and the log says what to grant
        asyncio.run(read(agent, METRICS))
    with pytest.raises(BusError, match="grant it CREATE"):
        asyncio.run(admin(agent).create([Topic("test.mine", "a test")]))


def test_who_is_enrolled_twice_keeps_the_password_unless_a_new_one_is_wanted(
    secured_kafka: SecuredKafka, lapwing: Lapwing
) -> None:
    name, environment = host(), secured_kafka.environment()
    first = settings_of(lapwing(environment, "agents", "enrol", name)[1])
    status, _, complaint = lapwing(environment, "agents", "enrol", name)
    assert (status, complaint.count("\n")) == (1, 1) and "--rotate" in complaint
    asyncio.run(publish(first, METRICS))
    second = settings_of(lapwing(environment, "agents", "enrol", name, "--rotate")[1])
    asyncio.run(publish(second, METRICS))
    with pytest.raises(BusError, match="refused the user"):
        asyncio.run(publish(first, METRICS))


def test_who_is_revoked_is_shut_out_at_once_connected_or_not(secured_kafka: SecuredKafka, lapwing: Lapwing) -> None:
    name, environment = host(), secured_kafka.environment()
    settings = settings_of(lapwing(environment, "agents", "enrol", name)[1])
    before = publisher(settings, "test", timeout=8.0)

    with asyncio.Runner() as runner:
        runner.run(before.start())
        runner.run(before.publish(METRICS, "host-1", b"x"))
        # Its own loop inside: the command is run as from a shell, on another thread.
        status, printed, _ = runner.run(asyncio.to_thread(lapwing, environment, "agents", "revoke", name))
        assert (status, printed) == (0, f"lapwing-agent-{name} is shut out\n")

        async def refused() -> bool:
            try:
                await before.publish(METRICS, "host-1", b"x")
            except BusError as error:
                return error.permanent
            return False

        async def until_refused() -> None:
            while not await refused():
                await asyncio.sleep(0.05)

        runner.run(asyncio.wait_for(until_refused(), 60))
        runner.run(before.stop())
    with pytest.raises(BusError, match="refused the user"):
        asyncio.run(publish(settings, METRICS))
    assert lapwing(environment, "agents", "revoke", name)[::2] == (1, f"lapwing: there is no lapwing-agent-{name}\n")
    assert name not in lapwing(environment, "agents", "list")[1]


def test_who_is_enrolled_is_listed_with_what_it_may_do(secured_kafka: SecuredKafka, lapwing: Lapwing) -> None:
    names, environment = sorted([host(), host()]), secured_kafka.environment()
    assert lapwing(environment, "agents", "enrol", *names)[0] == 0
    lines = lapwing(environment, "agents", "list")[1].splitlines()
    for name in names:
        at = lines.index(name)
        assert lines[at + 1 : at + 3] == [f"  WRITE on the topic {topic.name}" for topic in (LOGS, METRICS)]
    assert names[0] not in lapwing(environment, "services", "list")[1]


def test_a_password_in_a_file_is_for_nobody_else_to_read(
    secured_kafka: SecuredKafka, lapwing: Lapwing, tmp_path: Path
) -> None:
    name, environment, file = host(), secured_kafka.environment(), tmp_path / "password"
    file.write_text("the one before\n")
    words = ("agents", "enrol", name, "--password-file", str(file))
    status, _, complaint = lapwing(environment | {"LAPWING_KAFKA__PASSWORD": "wrong"}, *words)
    assert status == 1 and "refused the user" in complaint
    assert file.read_text() == "the one before\n" and list(tmp_path.iterdir()) == [file]
    status, printed, _ = lapwing(environment, *words)
    assert status == 0 and "PASSWORD=" not in printed
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    asyncio.run(publish(settings_of(printed), METRICS))
    (tmp_path / "directory").mkdir()
    words = ("agents", "enrol", host(), "--password-file", str(tmp_path / "directory"))
    assert lapwing(environment, *words)[0] == 2
    assert lapwing(environment, "agents", "enrol", host(), host(), "--password-file", str(file))[0] == 2


def test_who_may_not_change_users_is_told_what_to_grant(secured_kafka: SecuredKafka, lapwing: Lapwing) -> None:
    name = f"user-{uuid4().hex[:8]}"
    secured_kafka.add_user(name, "long and secret")
    for words in (("enrol", host()), ("list",), ("revoke", host())):
        status, _, complaint = lapwing(secured_kafka.environment(name, "long and secret"), "agents", *words)
        assert status == 1 and f"{name!r}" in complaint and "ALTER and DESCRIBE on the cluster" in complaint


def test_a_broker_that_allows_everybody_everything_is_no_place_for_users(
    local_kafka: LocalKafka, lapwing: Lapwing
) -> None:
    environment = {
        "LAPWING_KAFKA__BOOTSTRAP_SERVERS": local_kafka.address,
        "LAPWING_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT",
    }
    status, _, complaint = lapwing(environment, "agents", "enrol", host())
    assert status == 1 and "has no authorizer" in complaint and complaint.count("\n") == 1


@pytest.mark.parametrize("address", ["embedded://", "local://"])
def test_a_broker_of_this_machine_has_no_users(lapwing: Lapwing, address: str) -> None:
    status, _, complaint = lapwing({"LAPWING_KAFKA__BOOTSTRAP_SERVERS": address}, "agents", "list")
    assert status == 2 and address in complaint and "host:port" in complaint


@pytest.mark.parametrize("name", ["", "web 1", "web,1", "-web", "a" * 200, "web\n1", "*"])
def test_what_is_no_host_name_is_refused(name: str, lapwing: Lapwing) -> None:
    with pytest.raises(SystemExit) as ended:
        lapwing({}, "agents", "enrol", name)
    assert ended.value.code == 2


def test_whoever_reads_or_writes_is_in_the_table() -> None:
    used = {topic for use in USES.values() for topic in (*use.reads, *use.writes)}
    assert used == set(ALL_TOPICS)
    assert set(USES) == set(compose.SERVICES) and TOPICS not in USES
    assert USES["agent"].reads == () and CONTROL not in USES["ingest"].writes


RULES = """\
rules:
  - name: always
    title: Always
    metric: memory.percent
    above: 0.001
    leave: 0.0005
    for: 0s
    keep_firing_for: 0s
    severity: info
"""


async def test_every_service_does_its_work_with_its_own_rights_and_no_others(
    secured_kafka: SecuredKafka, lapwing: Lapwing, fresh_store: Settings, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    started: list[Service] = []
    try:
        for name in compose.SERVICES:
            words = ("agents", "enrol", host()) if name == "agent" else ("services", "enrol", name, "--rotate")
            status, printed, complaint = await asyncio.to_thread(lapwing, secured_kafka.environment(), *words)
            assert status == 0, complaint
            settings = Settings.model_validate(
                {
                    "data_dir": tmp_path,
                    "clickhouse": fresh_store.clickhouse,
                    "kafka": settings_of(printed),
                    "api": {"port": 0},
                    "alerter": {"rules": tmp_path / "rules.yaml"},
                }
            )
            for part in compose.build(settings, [name]).parts:
                await part.start()
                started.append(part)
        store = await open_store(settings, "test")
        try:
            # By the agent, the detector and the alerter, each by way of ingest.
            for table in ("samples", "scores", "alerts"):
                await eventually(lambda asked=f"SELECT 1 FROM {table} LIMIT 1": store.query(asked))
        finally:
            await store.close()
    finally:
        for part in reversed(started):
            await part.stop()
    listed = (await asyncio.to_thread(lapwing, secured_kafka.environment(), "services", "list"))[1]
    assert {line for line in listed.splitlines() if not line.startswith(" ")} == set(USES) - {"agent"}
