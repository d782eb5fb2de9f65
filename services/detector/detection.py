"""From a host's readings to what is said of them: models, limits, opinions, judgement. Pure; event time only."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.detector.bank import Bank, Verdict
from services.detector.feedback import Opinions
from services.detector.judge import Host, Judge
from services.detector.limits import Limits
from shared.runtime.settings import DetectorSettings
from shared.schemas.anomaly import Anomaly

VERSION = 1


class Detection:
    """All hosts that are known, within the settings' bounds."""

    def __init__(self, settings: DetectorSettings, opinions: Opinions) -> None:
        self._bank = Bank(
            warmup_seconds=settings.warmup_seconds,
            max_hosts=settings.max_hosts,
            pages_per_week=settings.pages_per_week,
        )
        self._judge = Judge(
            threshold=settings.threshold, open_after=settings.open_after, close_after=settings.close_after
        )
        self._limits = Limits()
        self._opinions = opinions

    def observe(self, host: Host, ts_ms: int, values: Mapping[str, float]) -> tuple[Verdict, list[Anomaly]] | None:
        """Score, learn and judge one event; ``None`` for one that is not newer than the host's last."""
        verdict = self._bank.score(host.host_id, ts_ms, values)
        if verdict is None:
            return None
        verdict = self._limits.applied(host.host_id, ts_ms, values, verdict)
        verdict = self._opinions.applied(host.host_id, verdict)
        verdict = self._bank.paged(host.host_id, verdict)
        return verdict, self._judge.step(host, ts_ms, verdict, values)

    def sweep(self) -> list[Anomaly]:
        """Closes what was open of hosts that have been silent while others were not."""
        return self._judge.sweep()

    def state(self, host_id: str) -> bytes | None:
        """All there is to go on from with this host; ``None`` for one that is not known. No code is in it."""
        model = self._bank.state(host_id)
        if model is None:
            return None
        return msgspec.msgpack.encode({"version": VERSION, "model": model, "judge": self._judge.state(host_id)})

    def restore(self, host_id: str, state: bytes) -> None:
        """Raises ``ValueError`` on what is no state of this version; then nothing has changed."""
        try:
            content = msgspec.msgpack.decode(state)
            if content["version"] != VERSION:
                raise ValueError(f"it is of version {content['version']}, not {VERSION}")
            self._bank.restore(host_id, content["model"])
            self._judge.restore(host_id, content["judge"])
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, msgspec.DecodeError) as error:
            raise ValueError(f"what was saved of {host_id} cannot be read: {error}") from None
