# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Selectors: which nodes each of them means, and the one node that ``primary(ROLE)`` and ``once`` choose."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.dependency import Dependency
from stoker_sdk.model.selector import ALL, nodes_of, primary_of, read_selector

from stoker.domain.snapshot import NodeInput

NOBODY: Final[Mapping[str, Sequence[str]]] = {}


def selectors_of(contribution: Contribution) -> list[str]:
    """All selectors that a contribution writes, for its own nodes and for those of its edges."""
    found = list(getattr(contribution, "roles", ()))
    edges_of = (contribution, getattr(contribution, "extend", None))  # a patch adds edges to another plugin's task
    for holder, field in itertools.product(edges_of, ("after", "before")):
        edges = getattr(holder, field, ())
        found += [edge.role for edge in edges if isinstance(edge, Dependency) and edge.role is not None]
    return found


def base_roles(selector: str, services: Mapping[str, Sequence[str]]) -> set[str]:
    """The roles that the nodes of a selector have; ``*`` for any.

    Args:
        selector: its text.
        services: the selectors of each service.
    """
    read = read_selector(selector)
    if read.kind in ("all", "once"):
        return {ALL}
    if read.kind == "service":
        return {role for inner in services.get(read.name, ()) for role in base_roles(inner, NOBODY)}
    return {read.name}


class Membership:
    """What each node is, in the words of selectors: its roles, and those of the other selectors in use that mean it."""

    def __init__(
        self,
        nodes: Sequence[NodeInput],
        used: Collection[str] = (),
        services: Mapping[str, Sequence[str]] = NOBODY,
        chosen: Mapping[str, str] | None = None,
        *,
        everyone: bool = False,
    ) -> None:
        """Choose where one node is to be chosen.

        Args:
            nodes: of the snapshot.
            used: the selectors that contributions write.
            services: the selectors of each service.
            chosen: the node's id for each selector that has chosen before.
            everyone: whether every node that could be chosen counts, as for looking at nodes before it is known who answers.
        """
        self.services = services
        self.primaries: dict[str, int] = {}
        """For each selector in use that means one node, that node's index."""
        self.of: list[frozenset[str]] = []
        """For each node, everything that selectors say of it."""
        sets = [set(node.roles) for node in nodes]
        inner = [selector for selectors in services.values() for selector in selectors]
        for selector in sorted({*used, *inner}):
            if read_selector(selector).kind not in ("primary", "once"):
                continue
            place = choose(nodes, selector, (chosen or {}).get(selector, ""))
            if place is not None:
                self.primaries[selector] = place
            for index in _candidates(nodes, selector) if everyone else [] if place is None else [place]:
                sets[index].add(selector)
        for name in sorted(services):
            for members in sets:
                if any(selector == ALL or selector in members for selector in services[name]):
                    members.add(nodes_of(name))
        self.of = [frozenset(members) for members in sets]

    def has(self, node: int, selector: Iterable[str]) -> bool:
        """Whether a field ``roles`` means a node."""
        return any(text == ALL or text in self.of[node] for text in selector)


def choose(nodes: Sequence[NodeInput], selector: str, before: str) -> int | None:
    """The one node of a selector: whoever was chosen before while it can be, else the first by name that answers."""
    places = _candidates(nodes, selector)
    for place in places:
        if nodes[place].id == before:
            return place
    return min(places, key=lambda place: (bool(nodes[place].left_out), nodes[place].name), default=None)


def _candidates(nodes: Sequence[NodeInput], selector: str) -> list[int]:
    """Nodes that stay; if none does, those that leave: what is done once at a removal is done on the last of them."""
    read = read_selector(selector)
    able = [index for index, node in enumerate(nodes) if read.kind == "once" or read.name in node.roles]
    return [index for index in able if not nodes[index].removing] or able


def implied(role: str, services: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Everything that selectors may say of a node with this role alone; of none of its roles if it is empty."""
    own = {role, primary_of(role)} if role else set()
    own |= {nodes_of(name) for name, selectors in services.items() if any(item == ALL or item in own for item in selectors)}
    return tuple(sorted(own))
