"""A real Apache Kafka that knows who is who: SASL_SSL with SCRAM-SHA-512, and StandardAuthorizer, which allows nobody
anything that was not granted. Certificates and passwords live as long as the tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from shared.broker.local import LocalKafka
from shared.bus.kafka import admin
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import ALL_TOPICS
from tests.support.local_kafka import SHORT_SESSIONS, now
from tests.support.ports import free_ports
from tests.support.tls import LONG_AGO, authority

SUPER = "test-super"
SUPER_PASSWORD = "may-do-everything"


class SecuredKafka:
    """``address`` speaks SASL_SSL; so do ``expired`` and ``elsewhere``, whose certificates ran out and name another
    host, and ``misled``, which sends its clients on to a name its certificate does not have. Kafka and its controller
    talk by ``backdoor``, in plain text, where everybody may do everything.
    """

    def __init__(self, directory: Path) -> None:
        self.authority = authority(directory / "tls")
        (directory / "kafka").mkdir()
        backdoor, controller, secured, expired, elsewhere, misled = free_ports(6)
        (directory / "kafka" / "ports").write_text(f"{backdoor} {controller}\n")  # as LocalKafka remembers them
        listeners = {
            "PLAINTEXT": backdoor,
            "SECURED": secured,
            "EXPIRED": expired,
            "ELSEWHERE": elsewhere,
            "MISLED": misled,
        }
        self.backdoor, self.address, self.expired, self.elsewhere, self.misled = (
            f"127.0.0.1:{port}" for port in listeners.values()
        )
        properties = _listeners(listeners, controller) | {
            **_keystore("SECURED", directory, self.authority.issue("127.0.0.1")),
            **_keystore("EXPIRED", directory, self.authority.issue("127.0.0.1", days=LONG_AGO)),
            **_keystore("ELSEWHERE", directory, self.authority.issue("kafka.example.org")),
            **_keystore("MISLED", directory, self.authority.issue("127.0.0.1")),
        }
        self._kafka = LocalKafka(directory, properties={**SHORT_SESSIONS, **properties})

    async def start(self) -> None:
        """With every topic of ours, and ``SUPER``, who may do everything."""
        await self._kafka.start()
        await asyncio.to_thread(self.add_user, SUPER, SUPER_PASSWORD)
        await admin(self.settings()).create(ALL_TOPICS)

    async def stop(self) -> None:
        await self._kafka.stop()

    def settings(self, username: str = SUPER, password: str = SUPER_PASSWORD, **more: Any) -> KafkaSettings:
        given = {
            "bootstrap_servers": self.address,
            "security_protocol": "SASL_SSL",
            "ssl_cafile": self.authority.certificate,
            "username": username,
            "password": password,
            "partitions": 2,
        }
        return KafkaSettings.model_validate({**given, **more})

    def environment(self, username: str = SUPER, password: str = SUPER_PASSWORD) -> dict[str, str]:
        """The same for a process."""
        return {
            "LAPWING_KAFKA__BOOTSTRAP_SERVERS": self.address,
            "LAPWING_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "LAPWING_KAFKA__SSL_CAFILE": str(self.authority.certificate),
            "LAPWING_KAFKA__USERNAME": username,
            "LAPWING_KAFKA__PASSWORD": password,
        }

    def add_user(self, name: str, password: str, *rights: tuple[str, str, str]) -> None:
        """With these rights and no others: ``("topic", "lapwing.logs.v1", "read")``. Blocks until it is let in."""
        client = self._clerk()
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        made = client.alter_user_scram_credentials([UserScramCredentialUpsertion(name, info, password.encode())])
        made[name].result(15)
        if rights:
            for granted in client.create_acls([_acl(name, *right) for right in rights]).values():
                granted.result(15)
        # It takes a moment to be known; librdkafka tries again meanwhile.
        self._clerk(
            **{
                "bootstrap.servers": self.address,
                "security.protocol": "SASL_SSL",
                "ssl.ca.location": str(self.authority.certificate),
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": name,
                "sasl.password": password,
            }
        ).list_topics(timeout=15)

    def _clerk(self, **options: str) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.backdoor, "log_level": 0, **options})


def _acl(user: str, kind: str, name: str, operation: str) -> AclBinding:
    return AclBinding(
        ResourceType[kind.upper()],
        name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[operation.upper()],
        AclPermissionType.ALLOW,
    )


def _listeners(ports: Mapping[str, int], controller: int) -> dict[str, str]:
    urls = [f"{name}://127.0.0.1:{port}" for name, port in ports.items()]
    protocols = dict.fromkeys(ports, "SASL_SSL") | {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
    return {
        "listeners": ",".join([*urls, f"CONTROLLER://127.0.0.1:{controller}"]),
        "advertised.listeners": ",".join(urls).replace("MISLED://127.0.0.1", "MISLED://localhost"),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{SUPER}",
    }


def _keystore(listener: str, directory: Path, issued: tuple[Path, Path]) -> dict[str, str]:
    certificate, key = issued
    store = directory / "tls" / f"{listener}.pem"
    store.write_text(key.read_text() + certificate.read_text())
    of = f"listener.name.{listener.lower()}"
    return {
        f"{of}.ssl.keystore.type": "PEM",
        f"{of}.ssl.keystore.location": str(store),
        f"{of}.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    }


@pytest.fixture(scope="session")
def secured_kafka(kafka_at_hand: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """One for all tests of this run: use users of your own."""
    kafka = SecuredKafka(tmp_path_factory.mktemp("secured"))
    try:
        now(kafka.start())
        yield kafka
    finally:
        now(kafka.stop())
