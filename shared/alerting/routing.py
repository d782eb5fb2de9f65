"""Which routes an alert takes through the tree: Alertmanager's way. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shared.alerting.matching import matches
from shared.schemas.control import RouteEntry


def taken(routes: Sequence[RouteEntry], labels: Mapping[str, str]) -> list[int]:
    """Indices of the nodes where an alert with these labels ends, in order: the deepest that match, the first of
    siblings unless it continues; the root where nothing else does.
    """
    children: dict[int, list[int]] = {}
    for index, route in enumerate(routes):
        children.setdefault(route.parent, []).append(index)
    return list(_below(0, routes, children, labels)) if routes else []


def _below(
    index: int, routes: Sequence[RouteEntry], children: Mapping[int, Sequence[int]], labels: Mapping[str, str]
) -> Iterator[int]:
    found = False
    for child in children.get(index, ()):
        if matches(routes[child].matchers, labels):
            found = True
            yield from _below(child, routes, children, labels)
            if not routes[child].continues:
                break
    if not found:
        yield index


def group_labels(route: RouteEntry, labels: Mapping[str, str]) -> dict[str, str]:
    """What alerts of one group have in common; ``...`` alone makes a group of every alert."""
    if route.group_by == ["..."]:
        return dict(labels)
    return {name: labels.get(name, "") for name in route.group_by}
