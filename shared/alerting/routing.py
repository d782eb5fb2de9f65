"""Which routes an alert takes through the tree: Alertmanager's way. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shared.alerting.matching import matches, written
from shared.schemas.control import RouteEntry

EVERY = "..."


class Router:
    def __init__(self, routes: Sequence[RouteEntry]) -> None:
        """``routes``: depth first, the root first."""
        self.routes = tuple(routes)
        self._children: list[list[int]] = [[] for _ in routes]
        self._paths: list[tuple[str, ...]] = []
        for index, route in enumerate(routes):
            above: tuple[str, ...] = ()
            if 0 <= route.parent < index:  # what comes from a topic may be no tree
                self._children[route.parent].append(index)
                above = self._paths[route.parent]
            self._paths.append((*above, "{" + ",".join(written(m) for m in route.matchers) + "}"))

    def taken(self, labels: Mapping[str, str]) -> list[int]:
        """Indices of the nodes where an alert with these labels ends, in order: the deepest that match, the first of
        siblings unless it continues; the root where nothing else does.
        """
        return list(self._below(0, labels)) if self.routes else []

    def group_key(self, route: int, labels: Mapping[str, str]) -> str:
        """As Alertmanager writes it; a node without matchers adds nothing to it."""
        path = [self._paths[route][0], *(step for step in self._paths[route][1:] if step != "{}")]
        inner = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        return f"{'/'.join(path)}:{{{inner}}}"[:4096]

    def _below(self, index: int, labels: Mapping[str, str]) -> Iterator[int]:
        found = False
        for child in self._children[index]:
            if matches(self.routes[child].matchers, labels):
                found = True
                yield from self._below(child, labels)
                if not self.routes[child].continues:
                    break
        if not found:
            yield index


def taken(routes: Sequence[RouteEntry], labels: Mapping[str, str]) -> list[int]:
    """``Router.taken``, for one question."""
    return Router(routes).taken(labels)


def group_labels(route: RouteEntry, labels: Mapping[str, str]) -> dict[str, str]:
    """What alerts of one group have in common; ``...`` alone makes a group of every alert."""
    if route.group_by == [EVERY]:
        return dict(labels)
    return {name: labels.get(name, "") for name in route.group_by}
