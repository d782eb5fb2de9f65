"""What a broker answers to somebody who may not, in one sentence that says who, what, where, and what to grant."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import errors

from shared.bus.port import BusError
from shared.runtime.settings import KafkaSettings

OF_TOPICS = (errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError)
OF_RIGHTS = (*OF_TOPICS, errors.GroupAuthorizationFailedError)


def may_not_write(settings: KafkaSettings, topic: str) -> BusError:
    return _may_not(settings, f"write to {topic}", f"WRITE on the topic {topic}")


def may_not_create(settings: KafkaSettings, topic: str) -> BusError:
    return _may_not(settings, f"create {topic}", f"CREATE on the topic {topic}")


def may_not_read(settings: KafkaSettings, topics: Iterable[str]) -> BusError:
    names = ", ".join(sorted(topics))
    return _may_not(settings, f"read {names}", f"READ on the topic {names}")


def may_not_join(settings: KafkaSettings, group: str) -> BusError:
    return _may_not(settings, f"read as the group {group}", f"READ on the group {group}")


def may_not_consume(settings: KafkaSettings, error: BaseException, topics: Iterable[str], group: str) -> BusError:
    """``error`` is one of ``OF_RIGHTS`` and names at most the topics it is about."""
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return may_not_join(settings, group)
    named = {str(word) for word in error.args} & set(topics)
    return may_not_read(settings, named or topics)


def _may_not(settings: KafkaSettings, do: str, right: str) -> BusError:
    user = f"the user {settings.username!r}" if settings.username else "a client without a user name"
    return BusError(
        f"the broker at {settings.bootstrap_servers} does not let {user} {do}: grant it {right}", permanent=True
    )
