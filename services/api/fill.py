"""What a replica that starts learns from the store: who the hosts are, their agents, their scores.

The rest of a host's state is read when somebody asks for it (``latest``), unless a topic brings it first.
"""

from __future__ import annotations

import logging

from services.api.deps import Deps
from services.api.errors import ApiError
from services.api.past import agent_state
from services.api.statements import statement

log = logging.getLogger(__name__)

AGENTS_REACH_MS = 2 * 3_600_000
SCORES_REACH_MS = 120_000
MOST_HOSTS = 20_000


async def fill(deps: Deps) -> None:
    """Leaves alone what the topics have said already. Without the store there is less to know, and that is logged."""
    now = deps.clock.now_ms()
    try:
        hosts = await deps.queries.rows(statement("known_hosts"), {"most": MOST_HOSTS})
        agents = await deps.queries.rows(statement("known_agents"), {"since": now - AGENTS_REACH_MS})
        scores = await deps.queries.rows(statement("known_scores"), {"since": now - SCORES_REACH_MS})
    except ApiError as error:
        log.warning("the hosts could not be read from the store", extra={"reason": str(error)})
        return
    for host_id, name, labels, seen in hosts:
        deps.live.known(host_id, name, labels, min(seen, now))
    for host_id, ts, (version, interval_ms, started_at) in agents:
        if host := deps.live.get(host_id):
            host.offer("agent", ts, agent_state(version, interval_ms, started_at))
    for host_id, ts, score in scores:
        if host := deps.live.get(host_id):
            host.scored(ts, score)
