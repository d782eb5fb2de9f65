"""What is made of an alert that fires, said when it changes: who or what keeps it from being told, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.alerter.notification.board import Entry
from shared.schemas.alert import Attention, AttentionState
from shared.schemas.control import Acknowledgement, Silence


def attention_of(
    entry: Entry,
    silences: Sequence[Silence],
    ack: Acknowledgement | None,
    quiet: Mapping[str, int],
    fires: int,
    now: int,
) -> Attention | None:
    """The event, if it is another than the last one.

    ``quiet``: quiet hours that keep it from everybody -> when they end; ``fires``: how often it fired lately.
    """
    hold = entry.hold
    by = [f"silence:{i}" for i in hold.silences[:50]]
    by += [f"alert:{hold.inhibitor}"] if hold.inhibitor else []
    by += [f"user:{hold.ack}"] if hold.ack else []
    by += [f"quiet:{name}" for name in sorted(quiet)[:10]]
    state: AttentionState = "active"
    reason, until = "", None
    if hold.muted:
        state, reason = "suppressed", "a silence" if hold.silences else "another alert says it already"
        if not hold.inhibitor and not hold.ack and not quiet:
            until = max(s.ends_at for s in silences)
    elif ack:
        state, reason, until = "acknowledged", ack.note[:1024], ack.expires_at
    elif hold.flapping:
        state, reason = "flapping", f"it fired {fires} times within a short time"
    elif quiet:
        state, reason, until = "suppressed", "quiet hours", max(quiet.values())
    before = entry.attention
    if before is None:
        if state == "active":
            return None
    elif (before.state, before.by, before.until) == (state, by, until):
        return None
    elif state == "active":
        reason = "worse than when it was acknowledged" if entry.outgrew else f"no longer {before.state}"
    ts = max(now, before.ts) if before else now
    return Attention(
        event_id=f"{entry.id[:80]}:attention:{state}:{ts}",
        ts=ts,
        alert_id=entry.id,
        host_id=entry.alert.host_id,
        state=state,
        reason=reason,
        by=by,
        until=until,
    )
