"""The named findings of all hosts. Pure; event time only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from pydantic import BaseModel

from services.detector.findings.episodes import About
from services.detector.findings.group import Groups, group_of
from services.detector.findings.host import NO_DATA, SILENT_MS, Host
from services.detector.findings.port import Sighting
from shared.schemas.anomaly import Anomaly, Contribution
from shared.schemas.sample import HostSample

WHAT = "lapwing.findings"
VERSION = 1
_MOST_BYTES = 4 << 20


class _Saved(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    what: str
    version: int
    digest: bytes
    host: bytes


class Findings:
    """Of one host events come in order of time; what is late or repeated changes nothing."""

    def __init__(self, *, max_hosts: int) -> None:
        self._max_hosts = max_hosts
        self._hosts: OrderedDict[str, Host] = OrderedDict()
        self._groups = Groups()
        self._newest_ms = 0
        self._open: set[str] = set()

    def observe(self, sample: HostSample) -> list[Anomaly]:
        """What there is to say after this event: nothing, mostly."""
        self._newest_ms = max(self._newest_ms, sample.ts)
        host = self._hosts.get(sample.host_id)
        out: list[Anomaly] = []
        if host is None:
            out = self._make_room()
            host = self._hosts[sample.host_id] = Host(About(sample.host_id, sample.host, dict(sample.labels)))
            self._groups.join(sample.host_id, host.member, group_of(sample.labels))
        self._hosts.move_to_end(sample.host_id)
        host.heard_ms = self._newest_ms
        out += host.observe(sample, self._groups)
        self._note(host)
        return out

    def sweep(self) -> list[Anomaly]:
        """Close those of hosts that have been silent while others were not."""
        out = []
        for host_id in sorted(self._open):
            host = self._hosts[host_id]
            if self._newest_ms - host.heard_ms > SILENT_MS:
                out += host.silent(self._newest_ms, host.last_ms + 1)
                self._note(host)
        return out

    def held(self, host_id: str) -> Sequence[Sighting]:
        """What is open now on that host; nothing of one that is not known."""
        host = self._hosts.get(host_id)
        return tuple(e.sighting for e in host.episodes.open.values()) if host else ()

    def knows(self, host_id: str) -> bool:
        return host_id in self._hosts

    def forget(self, host_id: str) -> None:
        host = self._hosts.pop(host_id, None)
        if host:
            self._groups.leave(host_id, host.member)
            self._open.discard(host_id)

    def state(self, host_id: str) -> bytes:
        """All that is remembered of the host. Raises ``KeyError`` for one that is not known."""
        host = msgspec.msgpack.encode(self._hosts[host_id], enc_hook=_plain)
        return msgspec.msgpack.encode(_Saved(WHAT, VERSION, _digest(host), host))

    def restore(self, host_id: str, data: bytes) -> None:
        """Go on where ``state`` was taken. Raises ``ValueError`` on anything else, and then nothing has changed."""
        host = _read(host_id, data)
        known = self._hosts.get(host_id)
        if known:
            self._groups.leave(host_id, known.member)
        elif len(self._hosts) >= self._max_hosts:
            raise ValueError(f"there is no room for another host beside {self._max_hosts}")
        self._hosts[host_id] = host
        self._groups.join(host_id, host.member, host.member.group)
        self._newest_ms = max(self._newest_ms, host.heard_ms)
        self._note(host)

    def _note(self, host: Host) -> None:
        if host.episodes.open:
            self._open.add(host.about.host_id)
        else:
            self._open.discard(host.about.host_id)

    def _make_room(self) -> list[Anomaly]:
        out: list[Anomaly] = []
        while len(self._hosts) >= self._max_hosts:
            host_id, host = self._hosts.popitem(last=False)
            self._groups.leave(host_id, host.member)
            out += host.episodes.close(host.about, self._newest_ms, host.last_ms, NO_DATA)
            self._open.discard(host_id)
        return out


def _read(host_id: str, data: bytes) -> Host:
    if len(data) > _MOST_BYTES:
        raise ValueError("the findings' state is too large to be one")
    try:
        saved = msgspec.msgpack.decode(data, type=_Saved)
        if saved.what != WHAT or saved.version != VERSION:
            raise ValueError(f"a state of {saved.what!r} version {saved.version}; this one reads {WHAT} {VERSION}")
        if saved.digest != _digest(saved.host):
            raise ValueError("the findings' state is damaged")
        host = msgspec.msgpack.decode(saved.host, type=Host, dec_hook=_model)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise ValueError(f"not a state of findings: {problem}") from problem
    if host.about.host_id != host_id:
        raise ValueError(f"the state is of host {host.about.host_id!r}, not of {host_id!r}")
    return host


def _digest(host: bytes) -> bytes:
    return blake2b(host, digest_size=16).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise NotImplementedError(type(value))


def _model(wanted: type, value: Any) -> Any:
    if wanted is Contribution:
        return Contribution.model_validate(value)
    raise NotImplementedError(wanted)
