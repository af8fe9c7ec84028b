# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The graph of task definitions: names resolved, order found, cycles and unknown names reported; linear in nodes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from stoker_sdk.model.dependency import ANCHORS, Dependency, Edge
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.model.selector import read_selector

from stoker.planning.patched import PatchedEdge
from stoker.planning.selectors import base_roles

REMOVAL_ANCHOR: Final = "removed"
"""An inner anchor before ``prepare``: what is removed goes before anything new comes."""

_ANCHOR_CHAIN: Final = (REMOVAL_ANCHOR, *ANCHORS)


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One task of the graph, whatever the number of its nodes."""

    name: str
    """``plugin.id``."""
    plugin: str
    label: str
    """The contribution, for messages."""
    roles: Sequence[str] = ("*",)
    """The selectors of the nodes that have it."""
    phase: str | None = None
    after: Sequence[Edge] = ()
    before: Sequence[Edge] = ()
    implied: Sequence[str] = ()
    """Full names that come first because a trigger or a shared file says so; missing ones are ignored."""
    patched: Sequence[PatchedEdge] = ()
    """Edges that other plugins added."""


class CrossEdge(msgspec.Struct, frozen=True, order=True):
    """Across nodes: ``task`` waits on nodes of ``only`` until ``waits_for`` is finished on nodes of ``role``."""

    task: int
    waits_for: int
    role: str
    wait: Literal["all", "any"] = "all"
    only: str = "*"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Definitions in an order that fits every edge."""

    definitions: list[Definition]
    after: list[list[int]]
    """Same node: for each definition the indexes that come first; direct ones only, anchors taken out."""
    cross: list[CrossEdge]
    """Across nodes, anchors taken out."""


class _Builder:
    """Collects edges between names (tasks and anchors) and findings."""

    def __init__(self, definitions: Sequence[Definition], roles: frozenset[str], services: Mapping[str, Sequence[str]]) -> None:
        self.definitions = {definition.name: definition for definition in definitions}
        self.roles = roles
        self.services = services
        self.findings: list[Finding] = []
        self.same: dict[str, set[str]] = {name: set() for name in (*_ANCHOR_CHAIN, *self.definitions)}
        self.cross: set[tuple[str, str, str, Literal["all", "any"], str]] = set()
        for one, two in itertools.pairwise(_ANCHOR_CHAIN):
            self.same[two].add(one)

    def resolve(self, definition: Definition, edge: Dependency, field: str) -> str | None:
        """The full name that an edge means, or ``None`` with a finding."""
        for name in (edge.task, f"{definition.plugin}.{edge.task}"):
            if name in self.same and name != REMOVAL_ANCHOR:
                return name
        if not edge.optional:
            known = sorted(name for name in self.definitions if name.startswith(f"{definition.plugin}."))
            self.findings.append(
                Finding(
                    rule="G001",
                    plugin=definition.plugin,
                    contribution=definition.label,
                    field=field,
                    message=f"there is no task or anchor {edge.task!r}.",
                    remedy=f"Known here: {', '.join((*ANCHORS, *known[:12]))}. Set optional if another plugin may be missing.",
                )
            )
        return None

    def add(self, definition: Definition) -> None:
        """Add all edges of a definition."""
        name = definition.name
        phase = definition.phase
        if phase is None and not definition.after and not definition.before:
            phase = "configure"
        if phase is not None:
            position = _ANCHOR_CHAIN.index(phase)
            self.same[phase].add(name)
            if position > 0:
                self.same[name].add(_ANCHOR_CHAIN[position - 1])
        self.same[name] |= {other for other in definition.implied if other in self.definitions and other != name}
        for field, edges in (("after", definition.after), ("before", definition.before)):
            for index, edge in enumerate(edges):
                self._edge(definition, Dependency(edge) if isinstance(edge, str) else edge, field, f"{field}[{index}]")
        for other in definition.patched:
            edge = Dependency(other.edge) if isinstance(other.edge, str) else other.edge
            self._edge(
                msgspec.structs.replace(definition, plugin=other.plugin, label=other.label), edge, other.field, other.place
            )

    def _edge(self, definition: Definition, edge: Dependency, field: str, place: str) -> None:
        other = self.resolve(definition, edge, place)
        if other is None:
            return
        first, second = (other, definition.name) if field == "after" else (definition.name, other)
        if edge.role is None:
            self.same[second].add(first)
            return
        selector = read_selector(edge.role)
        kind, known = ("service", self.services.keys()) if selector.kind == "service" else ("role", self.roles)
        if selector.name and selector.name not in known:
            self.findings.append(
                Finding(
                    rule="G002",
                    plugin=definition.plugin,
                    contribution=definition.label,
                    field=place,
                    message=f"no enabled plugin brings the {kind} {selector.name!r}.",
                    remedy=f"{did_you_mean(selector.name, known)}Correct the name, or enable the plugin that brings it.",
                )
            )
        elif other in self.definitions and not self._overlap(self.definitions[other].roles, edge.role):
            there = ", ".join(self.definitions[other].roles) or "none"
            self.findings.append(
                Finding(
                    rule="G007",
                    plugin=definition.plugin,
                    contribution=definition.label,
                    field=place,
                    message=f"nodes of the role {edge.role!r} do not have the task {other}, so nothing is held back.",
                    remedy=f"Name a role whose nodes have it ({there}), or '*'.",
                )
            )
        elif edge.wait == "any" and first in _ANCHOR_CHAIN:
            self.findings.append(
                Finding(
                    rule="G003",
                    plugin=definition.plugin,
                    contribution=definition.label,
                    field=place,
                    message=f"'any' cannot wait for the anchor {first!r}.",
                    remedy="Name a task, or use wait: all.",
                )
            )
        elif field == "after":
            self.cross.add((second, first, edge.role, edge.wait, "*"))
        else:
            self.cross.add((second, first, "*", edge.wait, edge.role))

    def _overlap(self, roles: Sequence[str], selector: str) -> bool:
        """Whether a node of the selector can be one of those roles' nodes."""
        one = base_roles(selector, self.services)
        two = {role for other in roles for role in base_roles(other, self.services)}
        return "*" in one or "*" in two or bool(one & two)


def order_definitions(
    definitions: Sequence[Definition], roles: Iterable[str], services: Mapping[str, Sequence[str]] | None = None
) -> tuple[Order, list[Finding]]:
    """Order task definitions.

    Args:
        definitions: in any order; the result depends on nothing but their contents.
        roles: all roles that the environment's plugins bring.
        services: the selectors of each service.

    Returns:
        The order (of what could be ordered) and a finding for each unknown name and each cycle.
    """
    builder = _Builder(definitions, frozenset(roles), services or {})
    for definition in sorted(definitions, key=lambda item: item.name):
        builder.add(definition)
    before: dict[str, set[str]] = {name: set(first) for name, first in builder.same.items()}
    for second, first, *_ in builder.cross:
        before[second].add(first)
    names = _sorted_names(before)
    if len(names) < len(before):
        builder.findings.append(_cycle(builder, before, set(before) - set(names)))
        return Order(definitions=[], after=[], cross=[]), builder.findings
    return _without_anchors(builder, names), builder.findings


def _sorted_names(before: Mapping[str, set[str]]) -> list[str]:
    count = {name: len(first) for name, first in before.items()}
    following: dict[str, list[str]] = {}
    for name, first in before.items():
        for other in first:
            following.setdefault(other, []).append(name)
    ready = [name for name, number in count.items() if number == 0]
    heapq.heapify(ready)
    result: list[str] = []
    while ready:
        name = heapq.heappop(ready)
        result.append(name)
        for other in following.get(name, ()):
            count[other] -= 1
            if count[other] == 0:
                heapq.heappush(ready, other)
    return result


def _cycle(builder: _Builder, before: Mapping[str, set[str]], left: set[str]) -> Finding:
    name = min(left)
    path: list[str] = []
    while name not in path:
        path.append(name)
        name = min(other for other in before[name] if other in left)
    circle = path[path.index(name) :]
    circle = [*circle, name][::-1]
    first = next((builder.definitions[item] for item in circle if item in builder.definitions), None)
    return Finding(
        rule="G004",
        plugin=first.plugin if first else "",
        contribution=first.label if first else "",
        field="after",
        message=f"these tasks wait for each other in a circle: {' -> '.join(circle)}.",
        remedy="Remove one of these edges.",
    )


def _without_anchors(builder: _Builder, names: Sequence[str]) -> Order:
    ordered = [builder.definitions[name] for name in names if name in builder.definitions]
    index = {definition.name: number for number, definition in enumerate(ordered)}
    anchors: dict[str, frozenset[int]] = {}
    for anchor in _ANCHOR_CHAIN:
        found: set[int] = set()
        for first in builder.same[anchor]:
            found |= anchors[first] if first in anchors else {index[first]}
        anchors[anchor] = frozenset(found)

    def members(name: str) -> frozenset[int]:
        return anchors[name] if name in anchors else frozenset((index[name],))

    after: list[list[int]] = []
    for definition in ordered:
        earlier: set[int] = set()
        for name in builder.same[definition.name]:
            earlier |= members(name)
        after.append(sorted(earlier))
    cross: set[CrossEdge] = set()
    for second, first, role, wait, only in builder.cross:
        # What follows an anchor follows it in the same-node edges too, so only the anchor's first followers need the barrier.
        followers = [index[name] for name, firsts in builder.same.items() if second in firsts and name in index]
        for task in followers if second in anchors else [index[second]]:
            cross |= {CrossEdge(task, waits_for, role, wait, only) for waits_for in members(first)}
    return Order(definitions=ordered, after=after, cross=sorted(cross))
