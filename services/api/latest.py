"""The contract's eight endpoints: a host's newest state from memory, or an earlier one from the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from services.api import messages, parameters, views
from services.api.ask import Ask
from services.api.deps import Deps
from services.api.errors import ApiError, not_found
from services.api.live import HostState, Reading
from services.api.messages import Language
from services.api.parameters import AT, HOST, Parameter, Values
from services.api.responses import encoded, ok, ok_bytes
from shared.runtime import times

LIMIT = parameters.whole_number("limit", "At most so many processes.", 1, 1000, 20)
SORT_BY = parameters.one_of("sort_by", "What to sort by, the greatest first.", views.SORTS, views.SORTS[0])
_EVERYTHING = frozenset({"agent", "system", "cpu", "load", "memory", "disks", "network", "processes", "gpus"})
_MOST_ANSWERS = 64  # ready answers kept a host


@dataclass(frozen=True)
class Shown:
    """What an endpoint makes its data of. ``now_ms`` is the instant that is shown."""

    sections: Mapping[str, Any]
    ts: Mapping[str, int]
    host_ts: int
    now_ms: int
    language: Language
    values: Values


@dataclass(frozen=True)
class Endpoint:
    """``required``: without this section there is no answer. ``ticks``: the answer changes with every second."""

    name: str
    shape: Callable[[Shown], Any]
    sections: frozenset[str]
    required: str | None
    ticks: bool = False
    speaks: bool = False
    parameters: tuple[Parameter[Any], ...] = field(default=(HOST, AT))

    async def answer(self, ask: Ask) -> Response:
        # Most requests ask for nothing in particular: what is ready for the default host is sent as it is.
        plain = not ask.scope["query_string"]
        values = _DEFAULTS if plain else ask.query(*self.parameters)
        host = ask.deps.directory.find(values[HOST], ask.now_ms)
        at = values[AT]
        if at is not None:
            return ok(await self._then(ask, host, at, values), ask.language)
        second = ask.now_ms // 1000 if self.ticks else 0
        key = (self.name, *(values[p] for p in self.parameters[2:]), ask.language if self.speaks else "")
        ready = host.answers.get(key)
        if ready is None or ready[0] != second:
            data = encoded(await self._now(ask, host, values))
            ready = (second, data)
            if len(host.answers) >= _MOST_ANSWERS:
                host.answers.clear()
            host.answers[key] = ready
        return ok_bytes(ready[1], ask.language)

    async def _now(self, ask: Ask, host: HostState, values: Values) -> Any:
        if not self.sections <= host.sections.keys() and not host.filled:
            await _fill(ask.deps, host, ask.now_ms, need=self.required)
        missing = self.required not in host.sections if self.required else not self.sections & host.sections.keys()
        if missing:
            raise not_found(messages.NO_DATA.of(section=self.required or self.name))
        return self.shape(_shown(host.sections, host, ask.now_ms, ask.language, values))

    async def _then(self, ask: Ask, host: HostState, at: int, values: Values) -> Any:
        found = await ask.deps.past.sections(host.host_id, at, self.sections)
        for name in self.sections:
            # What was just heard may not be in the store yet.
            known = host.sections.get(name)
            if known and known.ts <= at and (name not in found or found[name].ts < known.ts):
                found[name] = known
        if not found or (self.required and self.required not in found):
            section = self.required or self.name
            raise not_found(messages.NO_DATA_THEN.of(at=times.iso(at), section=section))
        return self.shape(_shown(found, host, at, ask.language, values))


_DEFAULTS = Values({"host": None, "at": None, "limit": LIMIT.default, "sort_by": SORT_BY.default})


def _shown(readings: Mapping[str, Reading], host: HostState, now_ms: int, language: Language, values: Values) -> Shown:
    return Shown(
        {name: r.value for name, r in readings.items()},
        {name: r.ts for name, r in readings.items()},
        max((r.ts for r in readings.values()), default=host.ts),
        now_ms,
        language,
        values,
    )


async def _fill(deps: Deps, host: HostState, now_ms: int, *, need: str | None) -> None:
    """Asks the store, once, for what the topics have not brought since this process began."""
    try:
        found = await deps.past.sections(host.host_id, now_ms, _EVERYTHING)
    except ApiError:
        if need is None or need in host.sections:
            return
        raise
    for name, reading in found.items():
        host.offer(name, reading.ts, reading.value)
    host.filled = True


def _gpu(shown: Shown) -> Any:
    return views.gpu(shown.sections.get("gpus"), shown.ts.get("gpus", shown.host_ts), shown.language)


ENDPOINTS = (
    Endpoint(
        "system",
        lambda s: views.system(s.sections["system"], s.now_ms),
        frozenset({"system"}),
        "system",
        ticks=True,
    ),
    Endpoint(
        "cpu",
        lambda s: views.cpu(s.sections["cpu"], s.sections.get("load")),
        frozenset({"cpu", "load"}),
        "cpu",
    ),
    Endpoint("memory", lambda s: views.memory(s.sections["memory"]), frozenset({"memory"}), "memory"),
    Endpoint("disks", lambda s: views.disks(s.sections["disks"]), frozenset({"disks"}), "disks"),
    Endpoint("network", lambda s: views.network(s.sections["network"]), frozenset({"network"}), "network"),
    Endpoint(
        "processes",
        lambda s: views.processes(s.sections["processes"], s.values[LIMIT], s.values[SORT_BY]),
        frozenset({"processes"}),
        "processes",
        parameters=(HOST, AT, LIMIT, SORT_BY),
    ),
    Endpoint("gpu", _gpu, frozenset({"gpus", "cpu", "system"}), None, speaks=True),
    Endpoint(
        "monitor",
        lambda s: views.monitor(s.sections, s.now_ms),
        _EVERYTHING - {"agent"},
        None,
        ticks=True,
    ),
)
