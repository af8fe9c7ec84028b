# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Task graph: ids that are taken, edges to tasks that are not there, tasks that wait for each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Final, Literal

from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option, WholeFile
from stoker_sdk.extension_points.health_checks import HealthCheck
from stoker_sdk.extension_points.node_packages import NodePackages
from stoker_sdk.extension_points.services import Service
from stoker_sdk.extension_points.tasks import Task
from stoker_sdk.model.dependency import ANCHORS
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.plugin import Plugin

_MADE: Final = ("packages", "files")
"""Ids of the tasks that are made of packages and configuration files."""


def check_tasks(plugin: Plugin) -> Iterable[Finding]:
    """What the plugin's tasks say of each other."""
    yield from _ids(plugin)
    yield from _unknown(plugin)
    moments: tuple[Literal["deploy", "remove"], ...] = ("deploy", "remove")
    for moment in moments:
        yield from _cycle(plugin, moment)


def _ids(plugin: Plugin) -> Iterable[Finding]:
    seen: set[str] = set(_units(plugin))
    for item in plugin.contributions:
        if isinstance(item, Task | HealthCheck):
            key = f"{'check.' if isinstance(item, HealthCheck) else ''}{item.id}"
            if key in seen or item.id in ANCHORS or item.id in _MADE:
                yield Finding(
                    rule="P006",
                    contribution=item.label,
                    field="id",
                    message=f"the id {item.id!r} is taken.",
                    remedy="Choose another.",
                )
            seen.add(key)


def _units(plugin: Plugin) -> dict[str, Service]:
    """The tasks that are made of services' units."""
    return {f"service.{unit}": item for item in plugin.contributions if isinstance(item, Service) for unit in item.units}


def _edges(plugin: Plugin, task: Task | Service) -> Iterable[tuple[str, str, bool]]:
    """Field, name and whether it may be missing, of each edge; the plugin's own name is left out."""
    for field in ("after", "before"):
        for index, edge in enumerate(getattr(task, field, ())):
            name, optional = (edge, False) if isinstance(edge, str) else (edge.task, edge.optional)
            yield f"{field}[{index}]", name.removeprefix(f"{plugin.name}."), optional


def _unknown(plugin: Plugin) -> Iterable[Finding]:
    own = {item.id for item in plugin.contributions if isinstance(item, Task)}
    own |= {f"check.{item.id}" for item in plugin.contributions if isinstance(item, HealthCheck)}
    own |= set(_units(plugin))
    for item in plugin.contributions:
        if not isinstance(item, Task | Service):
            continue
        # When a removal begins everything is there, or was never wanted: an edge to it holds.
        removing = isinstance(item, Task) and item.on == "remove"
        known = own | {*ANCHORS, *(_MADE if removing else _made(plugin))}
        for field, name, optional in _edges(plugin, item):
            if not optional and name not in known and "." not in name:
                yield Finding(
                    rule="P007",
                    contribution=item.label,
                    field=field,
                    message=f"there is no task {name!r} here.",
                    remedy=f"{did_you_mean(name, known)}Known: {', '.join(sorted(known))}; tasks of others are PLUGIN.ID.",
                )


def _cycle(plugin: Plugin, moment: Literal["deploy", "remove"]) -> Iterable[Finding]:
    tasks = {item.id: item for item in plugin.contributions if isinstance(item, Task) and item.on == moment}
    before = _order(plugin, tasks, _units(plugin) if moment == "deploy" else {}, anchored=moment == "deploy")
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle = [name for name in error.args[1] if isinstance(name, str)]
        first = next((tasks[name] for name in circle if name in tasks), None) or next(
            (item for name, item in _units(plugin).items() if name in circle), None
        )
        yield Finding(
            rule="P008",
            contribution=first.label if first is not None else "",
            field="after",
            message=f"these tasks wait for each other in a circle: {' -> '.join(circle)}.",
            remedy="Remove one of these edges.",
        )


def _order(plugin: Plugin, tasks: Mapping[str, Task], units: Mapping[str, Service], *, anchored: bool) -> dict[str, set[str]]:
    """For each task and anchor what comes first, as the planner orders them: across nodes or not makes no difference."""
    members: dict[str, Task | Service] = {**units, **tasks}
    before: dict[str, set[str]] = {name: set() for name in members}
    if anchored:
        before |= {name: set() for name in ANCHORS}
        for one, two in itertools.pairwise(ANCHORS):
            before[two].add(one)
        for name, anchor in _made(plugin).items():
            _place(before, name, anchor)
    for name, task in members.items():
        phase: str | None = "start"
        if isinstance(task, Task):
            phase = task.phase or (None if task.after or task.before else "configure")
        if anchored and phase is not None:
            _place(before, name, phase)
        for field, other, _ in _edges(plugin, task):
            first, second = (other, name) if field.startswith("after") else (name, other)
            if first in before and second in before:
                before[second].add(first)
    return before


def _made(plugin: Plugin) -> dict[str, str]:
    entries = ConfigFile | Option | ListItem | WholeFile
    services = [item for item in plugin.contributions if isinstance(item, Service)]
    files = any(isinstance(item, entries) for item in plugin.contributions) or any(item.files for item in services)
    packages = any(isinstance(item, NodePackages) for item in plugin.contributions) or any(item.packages for item in services)
    return {**({"packages": "install"} if packages else {}), **({"files": "configure"} if files else {})}


def _place(before: dict[str, set[str]], name: str, phase: str) -> None:
    """Put a task between the anchor before its phase and the phase's own."""
    before.setdefault(name, set())
    before[phase].add(name)
    position = ANCHORS.index(phase)
    if position > 0:
        before[name].add(ANCHORS[position - 1])
