"""The models of every host, within bounds. It has no clock: time is what the events say."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.detector.calibration import combine, shares, weighed
from services.detector.core import Verdict as Whole
from services.detector.features import split
from services.detector.models.host import HostModel, Reading
from shared.schemas.anomaly import Contribution

MATTERS = 0.5
"""Scores of single metrics below this are not worth telling."""
MAX_CONTRIBUTIONS = 6
LATE_RUN = 60
"""So many events in a row from before the newest: not stragglers, the host's clock went back."""


@dataclass(frozen=True)
class Verdict:
    """``metrics``: the features that matter, with their scores. ``contributions``: the largest first; only above
    what is normal. ``news``: the score of this event alone, without what lasts. ``page``: the news are worth waking
    somebody, within the host's budget.
    """

    score: float
    contributions: tuple[Contribution, ...] = ()
    warming_up: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    news: float = 0.0
    page: bool = False


Frozen = Callable[[str, int, Mapping[str, float]], float | None]
"""The score of a host's features at an instant (epoch ms) by a model that was trained on its quiet past; ``None``
where there is none.
"""


def no_model(host_id: str, ts_ms: int, features: Mapping[str, float]) -> None:
    return None


class Bank:
    """A host's score is that of its metrics one by one or of all together, whichever is larger. At most ``max_hosts``
    hosts are remembered; the longest silent is forgotten first.
    """

    def __init__(
        self, *, warmup_seconds: float, max_hosts: int, pages_per_week: float, frozen: Frozen = no_model
    ) -> None:
        self._warmup_ms = warmup_seconds * 1000
        self._max_hosts = max_hosts
        self._pages_per_week = pages_per_week
        self._frozen = frozen
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
        reading = model.observe(ts_ms, features)
        whole = reading.whole
        alone = combine(reading.bands.values())
        frozen = self._frozen(host_id, ts_ms, features)
        together = weighed(0.0 if whole.warming_up else whole.score, frozen)
        score = max(alone, together)
        by_together = together > alone
        return Verdict(
            score=score,
            contributions=() if score <= 1 else _together(model, whole) if by_together else _alone(model, reading),
            warming_up=ts_ms - model.first_ms < self._warmup_ms,
            metrics={name: s for name, s in reading.bands.items() if s >= MATTERS},
            news=max(alone, weighed(whole.news, frozen)),
        )

    def paged(self, host_id: str, verdict: Verdict) -> Verdict:
        """The host's last verdict, as it is after all opinions, held against the host's budget."""
        model = self._hosts.get(host_id)
        if model is None or verdict.warming_up:
            return verdict
        return replace(verdict, page=model.page(verdict.news if verdict.score > 1 else 0.0))

    def value(self, host_id: str, feature: str) -> float | None:
        """As last heard; ``None`` where it never was."""
        model = self._hosts.get(host_id)
        return model.value(feature) if model else None

    def last_ms(self, host_id: str) -> int:
        model = self._hosts.get(host_id)
        return model.last_ms if model else 0

    def forget(self, host_id: str) -> None:
        self._hosts.pop(host_id, None)
        self._late.pop(host_id, None)

    def state(self, host_id: str) -> dict[str, Any] | None:
        """What is known of a host, as plain values; ``None`` of one that is not."""
        model = self._hosts.get(host_id)
        return model.state() if model else None

    def restore(self, host_id: str, state: Mapping[str, Any]) -> None:
        """Go on from there. Raises ``ValueError``, ``KeyError`` or ``TypeError``, and changes nothing."""
        model = HostModel.restored(state, self._pages_per_week)
        if host_id not in self._hosts:
            self._make_room()
        self._hosts[host_id] = model

    def _remember(self, host_id: str, ts_ms: int) -> HostModel:
        self._make_room()
        model = self._hosts[host_id] = HostModel(ts_ms, self._pages_per_week)
        return model

    def _make_room(self) -> None:
        while len(self._hosts) >= self._max_hosts:
            gone, _ = self._hosts.popitem(last=False)
            self._late.pop(gone, None)
            self.forgotten += 1

    def _late_event(self, host_id: str, ts_ms: int, model: HostModel) -> None:
        run = self._late[host_id] = self._late.get(host_id, 0) + 1
        if run >= LATE_RUN:
            model.set_back(ts_ms)
            del self._late[host_id]


def _alone(model: HostModel, reading: Reading) -> tuple[Contribution, ...]:
    """Of single metrics that are out of their bands."""
    of_all = shares(dict(reading.bands))
    out = []
    for name in sorted(of_all, key=lambda n: -of_all[n])[:MAX_CONTRIBUTIONS]:
        if of_all[name] < 0.01:
            break
        band = model.bands[name]
        out.append(_contribution(name, of_all[name], band.value, *band.expected()))
    return tuple(out)


def _together(model: HostModel, whole: Whole) -> tuple[Contribution, ...]:
    """Of metrics that are off together."""
    return tuple(
        _contribution(
            c.metric,
            c.share,
            model.bands[c.metric].value,
            max(0.0, model.in_its_unit(c.metric, c.low)),
            model.in_its_unit(c.metric, c.high),
        )
        for c in whole.contributions
        if c.metric in model.bands
    )


def _contribution(name: str, share: float, value: float, low: float, high: float) -> Contribution:
    metric, labels = split(name)
    return Contribution(
        metric=metric,
        labels=labels,
        share=min(1.0, share),
        value=value,
        expected_low=low,
        expected_high=max(low, high),
    )
