"""The models of every host, within bounds. It has no clock: time is what the events say."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.detector.calibration import combine, shares
from services.detector.features import split
from services.detector.models.host import HostModel
from shared.schemas.anomaly import Contribution

MATTERS = 0.5
"""Scores of single metrics below this are not worth telling."""
MAX_CONTRIBUTIONS = 6
LATE_RUN = 60
"""So many events in a row from before the newest: not stragglers, the host's clock went back."""


@dataclass(frozen=True)
class Verdict:
    """``metrics``: the features that matter, with their scores. ``contributions``: the largest first; only above
    what is normal.
    """

    score: float
    contributions: tuple[Contribution, ...] = ()
    warming_up: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)


class Bank:
    """At most ``max_hosts`` hosts are remembered; the longest silent is forgotten first."""

    def __init__(self, *, warmup_seconds: float, max_hosts: int) -> None:
        self._warmup_ms = warmup_seconds * 1000
        self._max_hosts = max_hosts
        self._hosts: OrderedDict[str, HostModel] = OrderedDict()
        self._late: dict[str, int] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def score(self, host_id: str, ts_ms: int, features: Mapping[str, float]) -> Verdict | None:
        """Score, then learn. ``None`` for an event that is not newer than the host's last: nobody judges the past
        by the future, and no model learns a thing twice.
        """
        model = self._hosts.get(host_id)
        if model is None:
            model = self._remember(host_id, ts_ms)
        elif ts_ms <= model.last_ms:
            self._late_event(host_id, ts_ms, model)
            return None
        self._late.pop(host_id, None)
        self._hosts.move_to_end(host_id)
        scores = model.observe(ts_ms, features)
        score = combine(scores.values())
        return Verdict(
            score=score,
            contributions=self._contributions(model, scores) if score > 1 else (),
            warming_up=ts_ms - model.first_ms < self._warmup_ms,
            metrics={name: s for name, s in scores.items() if s >= MATTERS},
        )

    def _remember(self, host_id: str, ts_ms: int) -> HostModel:
        while len(self._hosts) >= self._max_hosts:
            gone, _ = self._hosts.popitem(last=False)
            self._late.pop(gone, None)
            self.forgotten += 1
        model = self._hosts[host_id] = HostModel(ts_ms)
        return model

    def _late_event(self, host_id: str, ts_ms: int, model: HostModel) -> None:
        run = self._late[host_id] = self._late.get(host_id, 0) + 1
        if run >= LATE_RUN:
            model.set_back(ts_ms)
            del self._late[host_id]

    def _contributions(self, model: HostModel, scores: Mapping[str, float]) -> tuple[Contribution, ...]:
        of_all = shares(dict(scores))
        largest = sorted(of_all, key=lambda name: -of_all[name])[:MAX_CONTRIBUTIONS]
        out = []
        for name in largest:
            if of_all[name] < 0.01:
                break
            metric, labels = split(name)
            band = model.bands[name]
            low, high = band.expected()
            out.append(
                Contribution(
                    metric=metric,
                    labels=labels,
                    share=min(1.0, of_all[name]),
                    value=band.value,
                    expected_low=low,
                    expected_high=high,
                )
            )
        return tuple(out)
