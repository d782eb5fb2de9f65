"""Packets that arrive broken or are thrown away, more than a few of a hundred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from services.detector.findings.hold import Hold
from services.detector.findings.network_traffic import physical
from services.detector.findings.port import RECOVERED, Sighting, Watching, each, share
from services.detector.findings.smooth import Smooth
from services.detector.findings.words import number
from shared.schemas.sample import HostSample, NetworkInterface


@dataclass(frozen=True)
class Thresholds:
    """``rate``: lost packets a second, fewer are never worth a word; shares of all packets."""

    interfaces: int = 4
    rate: float = 20
    enter: float = 0.01
    stay: float = 0.004
    critical: float = 0.1
    after_ms: int = 60_000
    until_ms: int = 120_000
    smooth_ms: int = 20_000


T = Thresholds()


class _Card(msgspec.Struct):
    lost: Smooth = msgspec.field(default_factory=Smooth)
    packets: Smooth = msgspec.field(default_factory=Smooth)
    hold: Hold = msgspec.field(default_factory=Hold)
    critical: bool = False


class NetworkErrors(Watching):
    section: ClassVar[str] = "network"
    cards: dict[str, _Card] = msgspec.field(default_factory=dict)

    def observe(self, ts_ms: int, sample: HostSample) -> Sequence[Sighting]:
        if sample.network is None:
            return self.held
        held = []
        there = {i.interface: i for i in physical(sample.network, T.interfaces)}
        for interface, card in each(self.cards, there, _Card):
            now = interface.errors_per_s + interface.drops_per_s
            if not now and card.hold.since_ms < 0:
                card.lost.value, card.lost.last_ms = 0.0, ts_ms
                continue
            lost = card.lost.step(ts_ms, now, T.smooth_ms)
            through = interface.recv_packets_per_s + interface.sent_packets_per_s
            packets = card.packets.step(ts_ms, through, T.smooth_ms) + lost
            ratio = lost / packets if packets > 0 else 0.0
            if card.hold.step(
                ts_ms,
                enter=lost >= T.rate and ratio >= T.enter,
                stay=lost >= T.rate / 2 and ratio >= T.stay,
                after_ms=T.after_ms,
                until_ms=T.until_ms,
            ):
                card.critical = card.critical or ratio >= T.critical
                held.append(_said(sample.host, interface, card, ratio))
            else:
                card.critical = False
        self.ended = RECOVERED
        self.held = tuple(held)
        return self.held


def _said(host: str, interface: NetworkInterface, card: _Card, ratio: float) -> Sighting:
    labels = {"interface": interface.interface}
    errors, drops = interface.errors_per_s, interface.drops_per_s
    metric = "network.errors_per_s" if errors > drops else "network.drops_per_s"
    return Sighting(
        finding="network_errors",
        labels=labels,
        severity="critical" if card.critical else "warning",
        since_ms=card.hold.since_ms,
        summary=f"Network packets are lost on {host}: {interface.interface} {number(card.lost.value)}/s, "
        f"{number(ratio * 100)} % of all",
        evidence={"errors": f"{number(errors)}/s", "drops": f"{number(drops)}/s", "of all": f"{number(ratio * 100)} %"},
        contributions=(share(metric, max(errors, drops), 0, T.rate, labels),),
    )
