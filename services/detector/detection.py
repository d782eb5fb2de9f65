"""From a host's sample to what is said of it: models, limits, opinions, judgement, named findings. Pure; event time
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec

from services.detector.bank import Bank, Frozen, Verdict, no_model
from services.detector.features import features
from services.detector.feedback import Opinions
from services.detector.findings.bank import Findings
from services.detector.judge import Host, Judge
from services.detector.limits import Limits
from services.detector.past import Past
from services.detector.voices import Voices
from shared.runtime.settings import DetectorSettings
from shared.schemas.anomaly import Anomaly
from shared.schemas.sample import HostSample

VERSION = 2


class Detection:
    """All hosts that are known, within the settings' bounds."""

    def __init__(self, settings: DetectorSettings, opinions: Opinions, frozen: Frozen = no_model) -> None:
        self._bank = Bank(
            warmup_seconds=settings.warmup_seconds,
            max_hosts=settings.max_hosts,
            pages_per_week=settings.pages_per_week,
            frozen=frozen,
        )
        self._judge = Judge(
            threshold=settings.threshold, open_after=settings.open_after, close_after=settings.close_after
        )
        self._limits = Limits()
        self._opinions = opinions
        self._findings = Findings(max_hosts=settings.max_hosts)
        self._voices = Voices()
        self._past = Past()

    def observe(self, sample: HostSample) -> tuple[Verdict, list[Anomaly]] | None:
        """Score, learn and judge one event; ``None`` for one that is not newer than the host's last."""
        host, ts_ms, values = Host(sample.host_id, sample.host, sample.labels), sample.ts, features(sample)
        verdict = self._bank.score(host.host_id, ts_ms, values)
        if verdict is None:
            return None
        verdict = self._limits.applied(host.host_id, ts_ms, values, verdict)
        verdict = self._opinions.applied(host.host_id, verdict)
        verdict = self._bank.paged(host.host_id, verdict)
        out: list[Anomaly] = []
        for found in self._findings.observe(sample):
            out += self._named(found, host.labels)
        for unusual in self._judge.step(host, ts_ms, verdict, partial(self._bank.value, host.host_id)):
            out += self._voices.models(unusual)
        return verdict, [self._in_time(anomaly) for anomaly in out]

    def sweep(self) -> list[Anomaly]:
        """Closes what was open of hosts that have been silent while others were not."""
        out = [told for found in self._findings.sweep() for told in self._named(found, found.labels)]
        out += [told for unusual in self._judge.sweep() for told in self._voices.models(unusual)]
        return [self._in_time(anomaly) for anomaly in out]

    def _named(self, found: Anomaly, host: Mapping[str, str]) -> list[Anomaly]:
        """With what people said of it."""
        opinion = self._opinions.of_finding(found, host)
        if opinion == "real":
            found = found.model_copy(update={"severity": "critical" if found.severity != "info" else "warning"})
        if found.state == "close" and self._voices.took_in(found):
            # What is unusual after it is another episode, and about what is unusual then.
            self._judge.forget(found.host_id)
        return self._voices.named(found, normal=opinion == "normal")

    def _in_time(self, anomaly: Anomaly) -> Anomaly:
        """With when it was like that before; and remembered, once it is over."""
        if anomaly.state == "close":
            self._past.closed(anomaly)
            return anomaly
        before = self._past.before(anomaly)
        return anomaly.model_copy(update={"evidence": anomaly.evidence | {"before": before}}) if before else anomaly

    def last_ms(self, host_id: str) -> int:
        """The instant of the host's last event; 0 of one that is not known."""
        return self._bank.last_ms(host_id)

    def forget(self, host_id: str) -> None:
        """As if it had never been heard of; nothing of it is open any more."""
        for part in (self._bank, self._judge, self._findings, self._voices, self._past):
            part.forget(host_id)

    def state(self, host_id: str) -> bytes | None:
        """All there is to go on from with this host; ``None`` for one that is not known. No code is in it."""
        model = self._bank.state(host_id)
        if model is None:
            return None
        return msgspec.msgpack.encode(
            {
                "version": VERSION,
                "model": model,
                "judge": self._judge.state(host_id),
                "findings": self._findings.state(host_id) if self._findings.knows(host_id) else b"",
                "voices": self._voices.state(host_id),
                "past": self._past.state(host_id),
            }
        )

    def restore(self, host_id: str, state: bytes) -> None:
        """Raises ``ValueError`` on what is no state of this version; what could be read before that is kept."""
        try:
            content = msgspec.msgpack.decode(state)
            if content["version"] != VERSION:
                raise ValueError(f"it is of version {content['version']}, not {VERSION}")
            self._bank.restore(host_id, content["model"])
            self._judge.restore(host_id, content["judge"])
            if content["findings"]:
                self._findings.restore(host_id, content["findings"])
            self._voices.restore(host_id, content["voices"])
            self._past.restore(host_id, content["past"])
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, msgspec.DecodeError) as error:
            raise ValueError(f"what was saved of {host_id} cannot be read: {error}") from None
