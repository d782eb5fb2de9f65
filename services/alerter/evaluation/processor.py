"""From messages to recorded transitions: decode, evaluate, publish; only then does a message count as read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import cast

from services.alerter.evaluation.evaluator import Evaluator
from services.alerter.evaluation.hearing import Hearing
from shared.bus.port import Message, Publisher
from shared.runtime.clock import Clock
from shared.schemas.alert import Alert
from shared.schemas.anomaly import Anomaly, HostScore
from shared.schemas.codec import BadLine, Decoder, encode, pack
from shared.schemas.control import Watched
from shared.schemas.sample import HostSample
from shared.schemas.topics import ALERTS, ANOMALIES, CONTROL, METRICS

log = logging.getLogger(__name__)

_MESSAGE_BYTES = 256 << 10
_AT_ONCE = 500


class Processor:
    """``handle`` may be called again with the same batch after it raised: what was decided is kept until recorded."""

    def __init__(
        self,
        evaluator: Evaluator,
        hearing: Hearing,
        publisher: Publisher,
        clock: Clock,
    ) -> None:
        self._evaluator = evaluator
        self._hearing = hearing
        self._publisher = publisher
        self._clock = clock
        self._samples: Decoder[HostSample] = Decoder(HostSample)
        self._findings: Decoder[Anomaly | HostScore] = Decoder(Anomaly, HostScore)
        self._outbox: list[Alert] = []
        self._roster: dict[str, Watched | None] = {}
        self._one_at_a_time = asyncio.Lock()
        self.bad_lines = 0

    async def handle(self, batch: Sequence[Message]) -> None:
        """Returns when every transition the batch leads to is recorded. Raises ``BusError``."""
        async with self._one_at_a_time:
            for message in batch:
                self._evaluate(message)
            self._hearing.processed(batch)
            await self._record()

    async def tick(self) -> None:
        """What time alone brings about, and the hosts whose silence would be missed. Raises ``BusError``."""
        async with self._one_at_a_time:
            self._outbox += self._evaluator.tick(self._clock.now_ms(), self._clock.monotonic())
            await self._record()
            await self._record_roster()
            await self._say_again()

    async def decide(self, decide: Callable[[int, float], Sequence[Alert]]) -> None:
        """Record what the evaluator says when it is asked ``decide(now_ms, monotonic)``, between two batches: to take
        up alerts, other rules, other partitions, other watched hosts. Raises ``BusError``.
        """
        async with self._one_at_a_time:
            self._outbox += decide(self._clock.now_ms(), self._clock.monotonic())
            await self._record()

    def _evaluate(self, message: Message) -> None:
        value = message.value or b""
        now, monotonic = self._clock.now_ms(), self._clock.monotonic()
        if message.topic == METRICS.name:
            for sample in self._samples.lines(value):
                if isinstance(sample, BadLine):
                    self.bad_lines += 1  # ingest keeps it, with its reason
                else:
                    self._outbox += self._evaluator.sample(sample, now, monotonic)
        elif message.topic == ANOMALIES.name:
            for finding in self._findings.lines(value):
                if isinstance(finding, BadLine):
                    self.bad_lines += 1
                elif hasattr(finding, "anomaly_id"):
                    self._outbox += self._evaluator.anomaly(cast(Anomaly, finding), now, monotonic)

    async def _record(self) -> None:
        """Publish what was decided, then say so; on an error keep what the broker does not have."""
        while self._outbox:
            by_host: dict[str, list[Alert]] = {}
            for alert in self._outbox:
                by_host.setdefault(alert.host_id, []).append(alert)
                if len(by_host) >= _AT_ONCE:
                    break
            results = await asyncio.gather(*map(self._publish, by_host.values()), return_exceptions=True)
            recorded = {a.event_id for alerts in by_host.values() for a in alerts}
            errors = []
            for alerts, result in zip(by_host.values(), results, strict=True):
                if isinstance(result, BaseException):
                    errors.append(result)
                    recorded.difference_update(a.event_id for a in alerts)
            done = [a for a in self._outbox if a.event_id in recorded]
            self._outbox = [a for a in self._outbox if a.event_id not in recorded]
            for alert in done:
                _say(alert)
            if errors:
                raise errors[0]

    async def _record_roster(self) -> None:
        self._roster.update(self._evaluator.roster(self._clock.monotonic()))
        while self._roster:
            some = list(self._roster.items())[:_AT_ONCE]
            await asyncio.gather(
                *(self._publisher.publish(CONTROL, key, encode(event) if event else None) for key, event in some)
            )
            for key, _ in some:
                del self._roster[key]

    async def _say_again(self) -> None:
        """It changes nothing, so what does not arrive today may wait for tomorrow."""
        lasting = self._evaluator.lasting(self._clock.now_ms(), self._clock.monotonic())
        for start in range(0, len(lasting), _AT_ONCE):
            await asyncio.gather(*(self._publish([alert]) for alert in lasting[start : start + _AT_ONCE]))

    async def _publish(self, alerts: Sequence[Alert]) -> None:
        """Of one host, in order."""
        lines: list[bytes] = []
        for alert in alerts:
            line = encode(alert)
            if lines and sum(map(len, lines)) + len(line) > _MESSAGE_BYTES:
                await self._publisher.publish(ALERTS, alert.host_id, pack(lines))
                lines = []
            lines.append(line)
        await self._publisher.publish(ALERTS, alerts[0].host_id, pack(lines))


def _say(alert: Alert) -> None:
    told = alert.state == "firing" or alert.previous_state == "firing"
    log.log(
        logging.INFO if told else logging.DEBUG,
        "alert changed",
        extra={
            "rule": alert.rule,
            "host": alert.host,
            "state": alert.state,
            "was": alert.previous_state,
            "why": alert.reason,
        },
    )
