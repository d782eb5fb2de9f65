"""The routing file: who is told what, as YAML that is refused whole, with lines, when any of it is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from services.alerter import yaml_file
from services.alerter.fields import Duration, Part, WrittenMatcher
from services.alerter.routing.plan import Flapping, Plan
from services.alerter.routing.receiver import MailTo, Receiver, ReceiverName, WebhookTo
from services.alerter.yaml_file import Document, FileError, Path
from shared.runtime.settings import Settings
from shared.schemas.control import InhibitRule, QuietHours, RouteEntry, Step

SHIPPED = FilePath(__file__).with_name("shipped.yaml")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_ROUTES = 1000


class RoutingError(FileError):
    """A routing file that cannot be used."""


def _minutes(value: Any) -> Any:
    found = re.fullmatch(r"(\d\d):(\d\d)", value) if isinstance(value, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found else 1441
    if not found or int(found[2]) > 59 or minutes > 1440:
        raise ValueError('must be a time of the day in quotes, such as "22:00" ("24:00" is its end)')
    return minutes


Minutes = Annotated[int, BeforeValidator(_minutes)]
LabelName = Annotated[str, Field(min_length=1, max_length=256)]


class _Step(Part):
    after: Annotated[Duration, Field(ge=1000)]
    receiver: ReceiverName


class _Route(Part):
    receiver: ReceiverName | None = None
    match: list[WrittenMatcher] = []
    continue_: Annotated[bool, Field(alias="continue")] = False
    group_by: Annotated[list[LabelName], Field(max_length=32)] | None = None
    group_wait: Duration | None = None
    group_interval: Annotated[Duration, Field(ge=1000)] | None = None
    repeat_interval: Annotated[Duration, Field(ge=60_000)] | None = None
    quiet: list[str] | None = None
    escalate: Annotated[list[_Step], Field(max_length=2)] | None = None
    routes: list[_Route] = []

    @model_validator(mode="after")
    def _sound(self) -> _Route:
        if self.group_by and "..." in self.group_by and len(self.group_by) > 1:
            raise ValueError("`group_by: [...]` makes a group of every alert and stands alone")
        after = [step.after for step in self.escalate or ()]
        if after != sorted(set(after)):
            raise ValueError("`escalate`: each step must come later than the one before")
        return self


class _InhibitRule(Part):
    source: Annotated[list[WrittenMatcher], Field(min_length=1)]
    target: Annotated[list[WrittenMatcher], Field(min_length=1)]
    equal: list[LabelName] = []


class _QuietHours(Part):
    name: Annotated[str, Field(min_length=1, max_length=128)]
    zone: str
    days: Annotated[list[Day], Field(min_length=1)] = list(DAYS)
    from_: Annotated[Minutes, Field(alias="from", le=1439)]
    to: Minutes
    lets_through: list[WrittenMatcher] = []


class _Flapping(Part):
    times: Annotated[int, Field(ge=2, le=100)] = 5
    within: Annotated[Duration, Field(ge=1000)] = 1_800_000


class _File(Part):
    route: _Route = _Route()
    receivers: list[Receiver] = []
    inhibit_rules: list[_InhibitRule] = []
    quiet_hours: list[_QuietHours] = []
    flapping: _Flapping = _Flapping()


def load_plan(settings: Settings) -> Plan:
    """The plan of the file that ``LAPWING_ALERTER__ROUTING`` names, or the shipped one. Raises ``RoutingError``."""
    path = settings.alerter.routing or SHIPPED
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RoutingError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return parse(path.name if path == SHIPPED else str(path), text, short_receivers(settings))


def short_receivers(settings: Settings) -> list[Receiver]:
    """Those that the two short settings make."""
    alerter = settings.alerter
    found = []
    if alerter.webhook_url:
        webhook = WebhookTo(url=SecretStr(alerter.webhook_url), secret=alerter.webhook_secret)
        found.append(Receiver(name="webhook", webhooks=[webhook]))
    if alerter.email_to:
        found.append(Receiver(name="email", email=MailTo(to=list(alerter.email_to))))
    return found


def parse(name: str, text: str, short: Sequence[Receiver] = ()) -> Plan:
    """``short``: receivers that are there without the file's doing. Raises ``RoutingError`` about all of it at once."""
    document = yaml_file.read(
        name, text, _File, {"receivers": "receiver", "inhibit_rules": "inhibit rule", "quiet_hours": "quiet hours"}
    )
    if isinstance(document, list):
        raise RoutingError("\n".join(document))
    file = document.content
    receivers = {r.name: r for r in short} | {r.name: r for r in file.receivers}
    yaml_file.refuse([*_problems(document, receivers)], RoutingError)
    heads = [file.route.receiver] if file.route.receiver else [r.name for r in short]
    return Plan(
        routes=tuple(_tree(file.route, heads)),
        receivers=receivers,
        inhibit_rules=tuple(InhibitRule(source=r.source, target=r.target, equal=r.equal) for r in file.inhibit_rules),
        quiet_hours=tuple(
            QuietHours(
                name=q.name,
                zone=q.zone,
                days=sorted({DAYS.index(d) for d in q.days}),
                begins=q.from_,
                ends=q.to,
                lets_through=q.lets_through,
            )
            for q in file.quiet_hours
        ),
        flapping=Flapping(file.flapping.times, file.flapping.within),
    )


def _tree(root: _Route, heads: Sequence[str]) -> Iterator[RouteEntry]:
    """Depth first. Several heads are told, each, wherever a route names nobody of its own; without one nobody is."""
    base = RouteEntry(parent=-1, receiver=heads[0] if heads else "")
    if len(heads) < 2 or not any(route.continue_ for _, route in _walk(root, ())):
        yield from _nodes(root, base, -1, 0, heads if len(heads) > 1 else ())
        return
    # Who continues may not come by the heads after that: a tree for each of them, under a root where nothing ends.
    yield _node(root, base, -1)
    here = 1
    for head in heads:
        below = [*_nodes(root, base.model_copy(update={"receiver": head}), 0, here)]
        yield below[0].model_copy(update={"continues": True})
        yield from below[1:]
        here += len(below)


def _nodes(route: _Route, above: RouteEntry, parent: int, here: int, heads: Sequence[str] = ()) -> Iterator[RouteEntry]:
    """``heads``: whom those of its nodes tell that name nobody, instead of whom ``above`` tells."""
    node = _node(route, above, parent)
    heads = () if route.receiver else heads
    yield node
    following = here + 1
    for child in route.routes:
        below = [*_nodes(child, node, here, following, heads)]
        yield from below
        following += len(below)
    for head in heads:
        told = {"receiver": head, "parent": here, "matchers": [], "continues": head != heads[-1]}
        yield node.model_copy(update=told)


def _node(route: _Route, above: RouteEntry, parent: int) -> RouteEntry:
    given: dict[str, Any] = {
        "receiver": route.receiver,
        "group_by": route.group_by,
        "group_wait_ms": route.group_wait,
        "group_interval_ms": route.group_interval,
        "repeat_interval_ms": route.repeat_interval,
        "quiet": route.quiet,
        "steps": None
        if route.escalate is None
        else [Step(after_ms=s.after, receiver=s.receiver) for s in route.escalate],
    }
    own = {name: value for name, value in given.items() if value is not None}
    return above.model_copy(
        update={"parent": parent, "matchers": list(route.match), "continues": route.continue_, **own}
    )


def _problems(document: Document[_File], receivers: Mapping[str, Receiver]) -> Iterator[str]:
    file = document.content
    quiet = {q.name for q in file.quiet_hours}
    for part, names in (
        ("receivers", [r.name for r in file.receivers]),
        ("quiet_hours", [q.name for q in file.quiet_hours]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield document.problem((part, index, "name"), f"a second one named `{name}`")
    for index, receiver in enumerate(file.receivers):
        if not receiver.ways:
            yield document.problem(
                ("receivers", index),
                f"receiver `{receiver.name}` has no channel: give it `email`, `webhooks` or `apprise`",
            )
        if not receiver.trusted:
            yield document.problem(("receivers", index, "trusted"), "is not for files: leave it out")
    for index, hours in enumerate(file.quiet_hours):
        if hours.zone not in available_timezones():
            yield document.problem(
                ("quiet_hours", index, "zone"),
                f"unknown zone `{hours.zone}`{_nearest(hours.zone, available_timezones())}",
            )
        if hours.from_ == hours.to:
            yield document.problem(
                ("quiet_hours", index, "to"), "is the same as `from`; for whole days write 00:00, 24:00"
            )
    if file.route.match:
        yield document.problem(("route", "match"), "the root is for everything: put matchers on its `routes`")
    if file.route.continue_:
        yield document.problem(("route", "continue"), "the root has no siblings to continue with")
    if file.route.receiver is None and file.receivers and not (receivers.keys() - {r.name for r in file.receivers}):
        yield document.problem(("route",), f"must have a `receiver`, one of {_listed(receivers)}")
    nodes = [*_walk(file.route, ("route",))]
    if len(nodes) > MOST_ROUTES:
        yield document.problem(("route",), f"more than {MOST_ROUTES} routes")
    for path, route in nodes:
        named = [((*path, "receiver"), route.receiver)] if route.receiver else []
        named += [((*path, "escalate", i, "receiver"), s.receiver) for i, s in enumerate(route.escalate or ())]
        for where, name in named:
            if name not in receivers:
                yield document.problem(where, f"there is no receiver `{name}`{_nearest(name, receivers)}")
        for i, name in enumerate(route.quiet or ()):
            if name not in quiet:
                yield document.problem((*path, "quiet", i), f"there are no quiet hours `{name}`{_nearest(name, quiet)}")


def _walk(route: _Route, path: Path) -> Iterator[tuple[Path, _Route]]:
    yield path, route
    for index, child in enumerate(route.routes):
        yield from _walk(child, (*path, "routes", index))


def _nearest(name: str, names: Any) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; there are {_listed(names)}" if 0 < len(names) < 20 else ""


def _listed(names: Any) -> str:
    return ", ".join(f"`{n}`" for n in sorted(names))
