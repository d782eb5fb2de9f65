"""The road to a Kafka that asks who you are, on a real one: it works, and where it does not, one line says why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from shared.bus import connection
from shared.bus.kafka import admin, publisher, tail
from shared.bus.port import BusError, Message
from shared.bus.stream import StreamService, batches, stream_app
from shared.runtime import settings as settings_module
from shared.runtime.settings import KafkaSettings, Settings
from shared.schemas.topics import LOGS, METRICS, Topic
from tests.support.secured_kafka import SecuredKafka
from tests.support.tls import authority
from tests.support.waiting import eventually

PASSWORD = "long and secret"


def user() -> str:
    return f"user-{uuid4().hex[:8]}"


async def publish(settings: KafkaSettings, topic: Topic, value: bytes, key: str = "host-1") -> None:
    out = publisher(settings, "test", timeout=8.0)
    await out.start()
    try:
        await out.publish(topic, key, value)
    finally:
        await out.stop()


@asynccontextmanager
async def processing(
    settings: Settings, name: str, topic: Topic = METRICS
) -> AsyncIterator[tuple[StreamService, list[Message]]]:
    seen: list[Message] = []

    async def handle(batch: Sequence[Message]) -> None:
        seen.extend(batch)

    app = stream_app(settings, name, session_timeout=6.0)
    batches(app, [topic], 100, 0.2, handle)
    service = StreamService(name, app)
    try:
        await service.start()
        yield service, seen
    finally:
        await service.stop()


async def first(settings: KafkaSettings, topic: Topic, wanted: bytes) -> Message:
    it = tail(settings, [topic], "test")
    await it.start()
    try:
        async with asyncio.timeout(60):
            async for batch in it.messages():
                for message in batch:
                    if message.value == wanted:
                        return message
    finally:
        await it.stop()
    raise AssertionError("the tail ended")


async def test_what_is_published_is_tailed_and_processed_with_nothing_but_the_settings(
    secured_kafka: SecuredKafka, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    environment = secured_kafka.environment() | {"LAPWING_DATA_DIR": str(tmp_path)}
    secret.write_text(environment.pop("LAPWING_KAFKA__PASSWORD") + "\n")
    settings = settings_module.load(environment | {"LAPWING_KAFKA__PASSWORD_FILE": str(secret)})
    assert await connection.why_not(settings.kafka) is None
    value = uuid4().bytes
    async with processing(settings, user()) as (_, seen):
        await publish(settings.kafka, METRICS, value)
        assert (await first(settings.kafka, METRICS, value)).key == b"host-1"
        await eventually(lambda: any(message.value == value for message in seen))


def of_another_password(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(password="not this one")


def of_nobody(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings("nobody", "not this one")


def with_another_ca(kafka: SecuredKafka, directory: Path) -> KafkaSettings:
    return kafka.settings(ssl_cafile=authority(directory / "other").certificate)


def with_the_ca_of_the_machine(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(ssl_cafile=None)


def where_the_certificate_ran_out(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(bootstrap_servers=kafka.expired)


def where_the_certificate_is_anothers(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(bootstrap_servers=kafka.elsewhere)


def in_plain_text(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(security_protocol="PLAINTEXT")


def without_encryption(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(security_protocol="SASL_PLAINTEXT")


def without_a_user(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(security_protocol="SSL")


def encrypted_to_plain_text(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(bootstrap_servers=kafka.backdoor)


def as_a_user_where_none_is_wanted(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(bootstrap_servers=kafka.backdoor, security_protocol="SASL_PLAINTEXT")


def by_another_mechanism(kafka: SecuredKafka, _: Path) -> KafkaSettings:
    return kafka.settings(sasl_mechanism="SCRAM-SHA-256")


WRONG = [
    (of_another_password, "refused the user 'test-super'.*LAPWING_KAFKA__PASSWORD"),
    (of_nobody, "refused the user 'nobody'.*LAPWING_KAFKA__USERNAME"),
    (with_another_ca, r"not vouched for by '.*ca\.pem'.*LAPWING_KAFKA__SSL_CAFILE"),
    (with_the_ca_of_the_machine, "not vouched for by the authorities this machine trusts.*LAPWING_KAFKA__SSL_CAFILE"),
    (where_the_certificate_ran_out, "has expired: it must be renewed"),
    (where_the_certificate_is_anothers, "is for another name.*LAPWING_KAFKA__BOOTSTRAP_SERVERS"),
    (in_plain_text, r"LAPWING_KAFKA__SECURITY_PROTOCOL \(PLAINTEXT\)"),
    (without_encryption, r"LAPWING_KAFKA__SECURITY_PROTOCOL \(SASL_PLAINTEXT\)"),
    (without_a_user, r"LAPWING_KAFKA__SECURITY_PROTOCOL \(SSL\)"),
    (encrypted_to_plain_text, r"LAPWING_KAFKA__SECURITY_PROTOCOL \(SASL_SSL\)"),
    (as_a_user_where_none_is_wanted, "asks for no user.*LAPWING_KAFKA__SECURITY_PROTOCOL.*try PLAINTEXT"),
    (by_another_mechanism, "does not know SCRAM-SHA-256.*LAPWING_KAFKA__SASL_MECHANISM"),
]


@pytest.mark.parametrize(("made", "said"), WRONG, ids=[made.__name__ for made, _ in WRONG])
async def test_who_cannot_connect_is_told_why_where_and_what_to_look_at(
    secured_kafka: SecuredKafka, tmp_path: Path, made: object, said: str
) -> None:
    settings: KafkaSettings = made(secured_kafka, tmp_path)  # type: ignore[operator]
    everything = Settings.model_validate({"data_dir": tmp_path, "kafka": settings})
    for attempt in (
        publish(settings, METRICS, b"x"),
        admin(settings).create([METRICS]),
        _started(everything),
    ):
        with pytest.raises(BusError, match=said) as refused:
            await attempt
        sentence = str(refused.value)
        assert settings.bootstrap_servers in sentence and "\n" not in sentence
        assert "not this one" not in sentence and "may-do-everything" not in sentence
        assert not refused.value.permanent, "somebody may mend it meanwhile"


async def _started(settings: Settings) -> None:
    async with processing(settings, user()):
        raise AssertionError("it must not start")


async def test_a_broker_that_sends_its_clients_to_a_name_of_no_certificate_is_found_out(
    secured_kafka: SecuredKafka,
) -> None:
    """The first address works, and everything after it does not."""
    settings = secured_kafka.settings(bootstrap_servers=secured_kafka.misled)
    reason = await connection.why_not(settings)
    assert reason and "advertised.listeners" in reason and "is for another name" in reason
    with pytest.raises(BusError, match=r"advertised\.listeners"):
        await admin(settings, timeout=2.0).create([METRICS])


async def test_who_may_not_write_is_told_what_to_grant(secured_kafka: SecuredKafka) -> None:
    name = user()
    secured_kafka.add_user(name, PASSWORD, ("topic", LOGS.name, "write"))
    settings = secured_kafka.settings(name, PASSWORD)
    await publish(settings, LOGS, b"x")
    with pytest.raises(BusError, match=f"{name}.*grant it WRITE on the topic {METRICS.name}") as refused:
        await publish(settings, METRICS, b"x")
    assert refused.value.permanent and secured_kafka.address in str(refused.value)


async def test_who_may_not_create_is_told_what_to_grant(secured_kafka: SecuredKafka) -> None:
    name, topic = user(), Topic("test.unheard-of", "a test")
    secured_kafka.add_user(name, PASSWORD)
    with pytest.raises(BusError, match=f"{name}.*grant it CREATE on the topic {topic.name}") as refused:
        await admin(secured_kafka.settings(name, PASSWORD)).create([topic])
    assert refused.value.permanent


async def test_a_tail_that_may_not_read_says_what_to_grant_and_reads_once_it_may(
    secured_kafka: SecuredKafka, caplog: pytest.LogCaptureFixture
) -> None:
    name, value, seen = user(), uuid4().bytes, list[Message]()
    secured_kafka.add_user(name, PASSWORD)
    await publish(secured_kafka.settings(), LOGS, value)
    it = tail(secured_kafka.settings(name, PASSWORD), [LOGS], "test")

    async def read() -> None:
        async for batch in it.messages():
            seen.extend(batch)

    with caplog.at_level(logging.WARNING, "shared.bus.tailing"):
        await it.start()
        reading = asyncio.create_task(read())
        said = f"{name!r} read {LOGS.name}: grant it READ on the topic {LOGS.name}"
        try:
            await eventually(lambda: any(said in getattr(record, "reason", "") for record in caplog.records))
            secured_kafka.add_user(name, PASSWORD, ("topic", LOGS.name, "read"))
            await eventually(lambda: any(message.value == value for message in seen))
        finally:
            await it.stop()
            reading.cancel()


@pytest.mark.parametrize(
    ("topic_rights", "group_rights", "said"),
    [
        ([], ["read"], "READ on the topic"),
        (["read"], [], "READ on the group"),
        (["read"], ["describe"], "READ on the group"),
        ([], [], "READ on the (topic|group)"),
    ],
)
async def test_a_group_that_may_not_read_says_at_once_what_to_grant(
    secured_kafka: SecuredKafka, tmp_path: Path, topic_rights: list[str], group_rights: list[str], said: str
) -> None:
    name = user()
    rights = [("topic", METRICS.name, right) for right in topic_rights]
    rights += [("group", f"lapwing-{name}", right) for right in group_rights]
    secured_kafka.add_user(name, PASSWORD, *rights)
    settings = Settings.model_validate({"data_dir": tmp_path, "kafka": secured_kafka.settings(name, PASSWORD)})
    async with asyncio.timeout(60):
        with pytest.raises(BusError, match=f"{name}.*{said}") as refused:
            async with processing(settings, name):
                pass
    assert refused.value.permanent


async def test_a_group_that_sees_a_topic_and_may_not_read_it_ends_with_what_to_grant(
    secured_kafka: SecuredKafka, tmp_path: Path
) -> None:
    name = user()
    secured_kafka.add_user(name, PASSWORD, ("topic", METRICS.name, "describe"), ("group", f"lapwing-{name}", "read"))
    settings = Settings.model_validate({"data_dir": tmp_path, "kafka": secured_kafka.settings(name, PASSWORD)})
    with pytest.raises(BusError, match=f"{name}.*grant it READ on the topic {METRICS.name}"):
        async with asyncio.timeout(60), processing(settings, name) as (service, _):
            await service.watch()
