"""Making topics by aiokafka: what ``shared.bus.port.Admin`` promises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.bus import connection, refusals
from shared.bus.port import BusError
from shared.runtime.settings import KafkaSettings
from shared.schemas.topics import ANOMALIES, LOGS, METRICS, Topic

log = logging.getLogger(__name__)

_NEVER = (errors.InvalidTopicError, errors.InvalidReplicationFactorError, errors.PolicyViolationError)


class KafkaAdmin:
    def __init__(self, settings: KafkaSettings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._arguments = connection.arguments(settings, "lapwing-admin")
        self._arguments.pop("metadata_max_age_ms")

    async def create(self, topics: Sequence[Topic]) -> None:
        """A topic that exists is left as it is: its partitions and retention are its operator's business."""
        client: AIOKafkaAdminClient | None = None
        try:
            async with asyncio.timeout(self._timeout):
                client = AIOKafkaAdminClient(**self._arguments, request_timeout_ms=int(self._timeout * 1000))
                await client.start()
                there = set(await client.list_topics())
                missing = [t for t in topics if t.name not in there]
                if missing:
                    await self._create(client, missing)
        except TimeoutError:
            reason = await connection.why_not(self._settings)
            raise BusError(reason or f"the broker did not create the topics within {self._timeout:g} s") from None
        except (errors.KafkaConnectionError, errors.NodeNotReadyError):
            raise BusError(await connection.unreachable(self._settings)) from None
        except (errors.KafkaError, OSError) as error:
            raise BusError(f"the broker did not create the topics: {connection.words(error)}") from None
        finally:
            if client is not None:
                with suppress(Exception):
                    await client.close()

    async def _create(self, client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
        names = ", ".join(t.name for t in topics)
        try:
            answer = await client.create_topics([self._wanted(t) for t in topics])
        except (errors.IncompatibleBrokerVersion, errors.UnsupportedVersionError):
            raise BusError(f"this broker cannot create topics, and {names} is missing", permanent=True) from None
        for name, code, *rest in answer.topic_errors:
            error = errors.for_code(code)
            if error not in (errors.NoError, errors.TopicAlreadyExistsError):
                if error in refusals.OF_TOPICS:
                    raise refusals.may_not_create(self._settings, name)
                raise BusError(
                    f"the broker refused to create {name}: {connection.words(error(*rest))}",
                    permanent=error in _NEVER,
                )
        log.info("topics created", extra={"topics": names})

    def _wanted(self, topic: Topic) -> NewTopic:
        return NewTopic(
            topic.name,
            self._settings.partitions,
            self._settings.replication_factor,
            topic_configs={name: str(value) for name, value in self._configuration(topic).items()},
        )

    def _configuration(self, topic: Topic) -> dict[str, str | int]:
        if topic.compacted:
            configuration: dict[str, str | int] = {"cleanup.policy": "compact"}
            if topic.segment_bytes:
                configuration |= {"segment.bytes": topic.segment_bytes, "min.cleanable.dirty.ratio": "0.3"}
            return configuration
        if topic in (METRICS, LOGS, ANOMALIES):
            return {
                "cleanup.policy": "delete",
                "retention.ms": self._settings.retention_hours * 3_600_000,
                "retention.bytes": self._settings.retention_bytes,
            }
        return {
            "cleanup.policy": "delete",
            "retention.ms": topic.retention_ms,
            "retention.bytes": topic.retention_bytes,
        }
