"""From the topics' tail into memory, and on to the live streams."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from services.api import metric_values, views
from services.api.broadcast import Hub, frame
from services.api.live import HostState, Live
from services.api.responses import encoded
from services.api.told import Told
from shared.bus.port import Message, Tail
from shared.runtime import selfmetrics
from shared.runtime.clock import Clock
from shared.schemas.alert import Alert, Attention, Delivery
from shared.schemas.anomaly import Anomaly, HostScore
from shared.schemas.codec import BadLine, Decoder
from shared.schemas.metrics import CATALOGUE
from shared.schemas.sample import HostSample
from shared.schemas.topics import ALERTS, ANOMALIES, METRICS

log = logging.getLogger(__name__)

TOPICS = (METRICS, ANOMALIES, ALERTS)


class Feed:
    def __init__(self, tail: Tail, live: Live, hub: Hub, told: Told, clock: Clock) -> None:
        self._tail = tail
        self._live = live
        self._hub = hub
        self._told = told
        self._clock = clock
        self._decoders: dict[str, Decoder[Any]] = {
            METRICS.name: Decoder(HostSample),
            ANOMALIES.name: Decoder(HostScore, Anomaly),
            ALERTS.name: Decoder(Alert, Attention, Delivery),
        }
        self._takes: dict[str, Callable[[Any], None]] = {
            METRICS.name: self._sample,
            ANOMALIES.name: self._judgement,
            ALERTS.name: self._alert,
        }

    async def run(self) -> None:
        """Until cancelled."""
        async for batch in self._tail.messages():
            for message in batch:
                self.take(message)
            selfmetrics.API_LAG.set(self._tail.lag())
            selfmetrics.API_HOSTS.set(len(self._live))

    def take(self, message: Message) -> None:
        decoder = self._decoders.get(message.topic)
        if decoder is None or not message.value:
            return
        take = self._takes[message.topic]
        selfmetrics.API_EVENTS.add(1, message.topic)
        for event in decoder.lines(message.value):
            if isinstance(event, BadLine):
                selfmetrics.API_BAD_EVENTS.add(1, message.topic)
                log.debug("a line on a topic cannot be read", extra={"topic": message.topic, "reason": event.reason})
                continue
            try:
                take(event)
            except Exception:
                # Whatever is wrong with this one, the next must still be heard.
                selfmetrics.API_BAD_EVENTS.add(1, message.topic)
                log.exception("an event could not be taken", extra={"topic": message.topic})

    def _sample(self, sample: HostSample) -> None:
        host, newest = self._live.sample(sample, self._clock.now_ms())
        if newest and self._hub.wants("samples", host.host_id):
            present = {name for name in host.sections if host.sections[name].ts == sample.ts}
            self._hub.send("samples", host.host_id, sample_frame(host, present, sample.ts))

    def _judgement(self, event: HostScore | Anomaly) -> None:
        # Twins are no instances of the models: tell them apart by what only one of them has.
        if not hasattr(event, "anomaly_id"):
            self._live.score(event)
        elif self._hub.wants("anomalies", event.host_id):
            self._hub.send("anomalies", event.host_id, frame("anomaly", encoded(event)))

    def _alert(self, event: Alert | Attention | Delivery) -> None:
        if hasattr(event, "notification_id"):
            self._told.delivered(event)  # type: ignore[arg-type]
        elif self._hub.wants("alerts", event.host_id):
            self._hub.send("alerts", event.host_id, frame("alert", encoded(event)))


def sample_frame(host: HostState, sections: set[str], ts: int) -> bytes:
    """What is new about a host: metrics by name (by label inside, where there is one), and the contract's shapes."""
    values: dict[str, Any] = {}
    for metric in CATALOGUE:
        if metric.section in sections or (metric.section == "score" and host.score is not None):
            found = dict(metric_values.READERS[metric.name](host))
            values[metric.name] = found if metric.label else found.get("")
    present = {name: host.sections[name].value for name in sections}
    shapes = views.monitor(present, ts)
    state = {k: v for k, v in shapes.items() if v is not None and (k != "gpus" or "gpus" in sections)}
    data = {"host_id": host.host_id, "host": host.name, "ts": ts, "metrics": values, "state": state}
    return frame("sample", encoded(data))
