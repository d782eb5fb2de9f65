"""Users of a Kafka and what they may do: SCRAM passwords and ACLs, by the broker's own admin protocol.

By confluent-kafka: aiokafka cannot set passwords. Every call blocks, seconds at most, and raises ``BusError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from shared.bus import connection
from shared.bus.port import BusError
from shared.bus.rights import Right
from shared.runtime.settings import KafkaSettings

ITERATIONS = 8192
"""Of SCRAM's hashing: twice Kafka's own least."""

NEEDED = {AclOperation.ALTER, AclOperation.DESCRIBE}
"""On the cluster, of whoever makes users."""

T = TypeVar("T")


class Access:
    """As the user of ``settings``, who needs ALTER and DESCRIBE on the cluster."""

    def __init__(self, settings: KafkaSettings, *, timeout: float = 15.0) -> None:
        self._settings = settings
        self._timeout = timeout
        self._reached: AdminClient | None = None
        name = settings.sasl_mechanism if settings.sasl_mechanism.startswith("SCRAM") else "SCRAM-SHA-512"
        self.mechanism = name
        self._mechanism = ScramMechanism[name.replace("-", "_")]

    def add(self, user: str, password: str, rights: Iterable[Right]) -> None:
        """These rights are there afterwards, others as before, and the password is this one: first what may be done,
        then who may come in, so that half of it harms nobody. Returns when the broker lets it in.
        """
        for granted in self._client().create_acls([_acl(user, right) for right in rights]).values():
            self._result(granted)
        info = ScramCredentialInfo(self._mechanism, ITERATIONS)
        wanted = UserScramCredentialUpsertion(user, info, password.encode())
        self._result(self._client().alter_user_scram_credentials([wanted])[user])
        if self._settings.security_protocol.startswith("SASL"):  # else our listener is not theirs
            self._wait_until_let_in(user, password)

    def remove(self, user: str) -> bool:
        """Nothing is granted to it and it cannot come in any more; connections it has may do nothing either.
        ``False``: there was neither.
        """
        mine = _anything_of(user)
        granted = self._result(self._client().delete_acls([mine])[mine])
        known = self._mechanisms(user)
        for mechanism in known:
            gone = UserScramCredentialDeletion(user, mechanism)
            self._result(self._client().alter_user_scram_credentials([gone])[user])
        return bool(granted or known)

    def has_password(self, user: str) -> bool:
        return bool(self._mechanisms(user))

    def rights(self, prefix: str = "") -> Mapping[str, Sequence[Right]]:
        """What is granted to users whose name starts so, by user; other resources than topics and groups left out."""
        found: dict[str, set[Right]] = {}
        for acl in self._result(self._client().describe_acls(_anything_of(None))):
            user = acl.principal.removeprefix("User:")
            if not user.startswith(prefix) or acl.restype not in (ResourceType.TOPIC, ResourceType.GROUP):
                continue
            found.setdefault(user, set()).add(Right(acl.restype.name.lower(), acl.name, acl.operation.name))
        return {user: sorted(rights) for user, rights in sorted(found.items())}

    def _mechanisms(self, user: str) -> list[ScramMechanism]:
        try:
            described = self._result(self._client().describe_user_scram_credentials([user])[user])
        except _NoSuchUser:
            return []
        return [info.mechanism for info in described.scram_credential_infos]

    def _client(self) -> AdminClient:
        if self._reached is None:
            # librdkafka tries for ever and says why only in a log.
            reason = asyncio.run(connection.why_not(self._settings))
            if reason:
                raise BusError(reason)
            client = AdminClient(_configuration(self._settings))
            # Asked first: librdkafka 2.16 does not survive being refused a look at passwords.
            cluster = self._result(client.describe_cluster(include_authorized_operations=True))
            if not set(cluster.authorized_operations or ()) >= NEEDED:
                raise self._too_little()
            self._reached = client
        return self._reached

    def _wait_until_let_in(self, user: str, password: str) -> None:
        """A change takes a moment to reach every broker. librdkafka tries again meanwhile."""
        theirs = _configuration(self._settings)
        theirs |= {"sasl.username": user, "sasl.password": password, "sasl.mechanism": self.mechanism}
        try:
            AdminClient(theirs).list_topics(timeout=self._timeout)
        except KafkaException as error:
            raise BusError(
                f"{user} has its password, but the broker at {self._settings.bootstrap_servers} does not let it in: "
                f"{error.args[0].str()}; is {self.mechanism} among its sasl.enabled.mechanisms?"
            ) from None

    def _result(self, future: Future[T]) -> T:
        try:
            return future.result(self._timeout)
        except KafkaException as error:
            raise self._refusal(error.args[0]) from None
        except TimeoutError:
            raise BusError(
                f"the broker at {self._settings.bootstrap_servers} did not answer in {self._timeout:g} s"
            ) from None

    def _refusal(self, error: KafkaError) -> BusError:
        where, code = self._settings.bootstrap_servers, error.code()
        if code == KafkaError.RESOURCE_NOT_FOUND:
            return _NoSuchUser(f"the broker at {where} knows no such user")
        if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return self._too_little()
        if code == KafkaError.SECURITY_DISABLED:
            return BusError(
                f"the broker at {where} has no authorizer, so that everybody may do everything: "
                "set authorizer.class.name there",
                permanent=True,
            )
        return BusError(f"the broker at {where} refused: {error.str()}")

    def _too_little(self) -> BusError:
        return BusError(
            f"the broker at {self._settings.bootstrap_servers} does not let the user {self._settings.username!r} "
            "change users: grant it ALTER and DESCRIBE on the cluster, or use one of super.users",
            permanent=True,
        )


class _NoSuchUser(BusError):
    pass


def _configuration(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "lapwing-access",
        "security.protocol": settings.security_protocol,
        "log_level": 0,
    }
    if settings.security_protocol.startswith("SASL"):
        options["sasl.username"], options["sasl.password"] = connection.credentials(settings)
        options["sasl.mechanism"] = settings.sasl_mechanism
    if settings.security_protocol.endswith("SSL"):
        options["ssl.ca.location"] = str(settings.ssl_cafile or "probe")
        if settings.ssl_certfile:
            options["ssl.certificate.location"] = str(settings.ssl_certfile)
            options["ssl.key.location"] = str(settings.ssl_keyfile or settings.ssl_certfile)
    return options


def _acl(user: str, right: Right) -> AclBinding:
    return AclBinding(
        ResourceType[right.kind.upper()],
        right.name,
        ResourcePatternType.LITERAL,
        f"User:{user}",
        "*",
        AclOperation[right.operation],
        AclPermissionType.ALLOW,
    )


def _anything_of(user: str | None) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        user and f"User:{user}",
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
