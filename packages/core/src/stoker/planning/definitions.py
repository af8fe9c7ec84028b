# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Definitions: every task that a snapshot's plugins bring or imply, as the graph wants it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.health_checks import HealthCheck
from stoker_sdk.model.dependency import ANCHORS, Edge
from stoker_sdk.model.finding import Finding

from stoker.domain.snapshot import Snapshot
from stoker.planning.graph import REMOVAL_ANCHOR, Definition
from stoker.planning.parts import PluginParts
from stoker.planning.patched import PatchedEdge
from stoker.planning.services import ServiceUnit

_GENERATED = frozenset({*ANCHORS, "repository", "packages", "files"})

Origin = Literal["repository", "packages", "files", "task", "check", "remove.packages", "remove.files", "remove.service"]


class TaskSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task comes from: a contribution, or generated from what a plugin has."""

    definition: Definition
    origin: Origin
    part: PluginParts | None = None
    """The plugin; ``None`` if only its traces on nodes are left."""
    task: tasks.Task | None = None
    check: HealthCheck | None = None
    roles: Sequence[str] = ()
    """The roles whose nodes have it."""
    service: str = ""
    """The unit that ``remove.service`` stops."""
    skipped: bool = False
    """Another plugin skips it: it keeps its place and does nothing."""


def triggers_of(task: tasks.Task) -> list[str]:
    """Everything whose change matters to a task."""
    return [*task.run_on, *(task.restart_on if isinstance(task, tasks.Service) else ())]


def task_sources(parts: Sequence[PluginParts], snapshot: Snapshot) -> tuple[list[TaskSource], list[Finding]]:
    """All tasks, and a finding for each trigger that names nothing."""
    staying = [part for part in parts if not part.plugin.removing]
    owners = _Owners(staying)
    found: list[TaskSource] = []
    for part in staying:
        found += _generated(part, owners)
        found += _own_tasks(part, owners)
    for part in parts:
        found += _removal_tasks(part)
    known = {part.plugin.name for part in parts}
    for name in sorted(known | _plugins_on_nodes(snapshot)):
        found += _removal_generated(name, found)
    findings = list(owners.findings)
    findings += _twice(found)
    return found, findings


class _Owners:
    """Which tasks bring a file or a package, so that triggers can be turned into edges."""

    def __init__(self, parts: Sequence[PluginParts]) -> None:
        self.files: dict[str, set[str]] = {}
        self.packages: dict[str, set[str]] = {}
        self.tasks: set[str] = set()
        self.repositories = [f"{part.plugin.name}.repository" for part in parts if part.repositories]
        """Tasks that make repositories known; whoever installs packages follows all of them."""
        self.findings: list[Finding] = []
        for part in parts:
            for file in part.files:
                self.files.setdefault(file.path, set()).add(f"{part.plugin.name}.files")
            for item in part.packages:
                for package in item.packages:
                    name = package if isinstance(package, str) else package.name
                    self.packages.setdefault(name, set()).add(f"{part.plugin.name}.packages")
            for task in (*part.tasks, *part.skipped_tasks):
                full = f"{part.plugin.name}.{task.id}"
                if task.on == "deploy":
                    self.tasks.add(full)
                if isinstance(task, tasks.Upload):
                    self.files.setdefault(task.path, set()).add(full)
                if isinstance(task, tasks.Files):
                    for entry in task.files:
                        self.files.setdefault(entry.path, set()).add(full)
                if isinstance(task, tasks.Packages):
                    for name in task.packages:
                        self.packages.setdefault(name, set()).add(full)

    def names(self, part: PluginParts, task: tasks.Task) -> list[str]:
        """The tasks that come first because a trigger names what they bring."""
        names: set[str] = set(self.repositories) if isinstance(task, tasks.Packages) else set()
        for trigger in triggers_of(task):
            kind, _, name = trigger.partition(":")
            if kind == "task":
                full = name if name in self.tasks else f"{part.plugin.name}.{name}"
                found = {full} if full in self.tasks else set()
            else:
                found = (self.files if kind == "file" else self.packages).get(name, set())
            if not found and not isinstance(task, ServiceUnit):  # what goes with a plugin counts as a change, too
                full = f"{part.plugin.name}.{task.id}"
                patched = part.patched[full].triggers if full in part.patched else {}
                plugin, label = patched.get(trigger, (part.plugin.name, task.label))
                self.findings.append(
                    Finding(
                        rule="G005",
                        plugin=plugin,
                        contribution=label,
                        field="restart_on" if isinstance(task, tasks.Service) else "run_on",
                        message=f"nothing here brings {trigger!r}, so it can never fire.",
                        remedy="Correct the name, or enable the plugin that brings it.",
                    )
                )
            names |= found
        return sorted(names)


def _generated(part: PluginParts, owners: _Owners) -> Iterable[TaskSource]:
    name = part.plugin.name
    if part.repositories and (roles := packages_roles(part)):
        label = part.repositories[0].label
        definition = Definition(name=f"{name}.repository", plugin=name, label=label, roles=roles, phase="install")
        yield TaskSource(definition=definition, origin="repository", part=part, roles=roles)
    if part.packages:
        roles = _union(item.roles for item in part.packages)
        definition = Definition(
            name=f"{name}.packages",
            plugin=name,
            label="node_packages",
            roles=roles,
            phase="install",
            implied=owners.repositories,
            patched=_edges(part, f"{name}.packages"),
        )
        yield TaskSource(definition=definition, origin="packages", part=part, roles=roles)
    if part.files:
        others = {
            owner
            for file in part.files
            for owner in owners.files[file.path]
            if owner.endswith(".files") and owner < f"{name}.files"
        }
        roles = _union(item.roles for item in part.files)
        definition = Definition(
            name=f"{name}.files",
            plugin=name,
            label="config_files",
            roles=roles,
            phase="configure",
            implied=sorted(others),
            patched=_edges(part, f"{name}.files"),
        )
        yield TaskSource(definition=definition, origin="files", part=part, roles=roles)


def packages_roles(part: PluginParts) -> list[str]:
    """The roles whose nodes get packages of a plugin in any way."""
    by_task = [task.roles for task in part.tasks if isinstance(task, tasks.Packages) and task.on == "deploy"]
    return _union([*(item.roles for item in part.packages), *by_task])


def _own_tasks(part: PluginParts, owners: _Owners) -> Iterable[TaskSource]:
    name = part.plugin.name
    for task in (*part.tasks, *part.skipped_tasks):
        if task.on != "deploy":
            continue
        definition = Definition(
            name=f"{name}.{task.id}",
            plugin=name,
            label=task.label,
            roles=task.roles,
            phase=task.phase,
            after=task.after,
            before=task.before,
            implied=owners.names(part, task),
            patched=_edges(part, f"{name}.{task.id}"),
        )
        skipped = task in part.skipped_tasks
        yield TaskSource(definition=definition, origin="task", part=part, task=task, roles=task.roles, skipped=skipped)
    for check in (*part.checks, *part.skipped_checks):
        phase = "prepare" if check.moment == "before" else "verify"
        full = f"{name}.check.{check.id}"
        definition = Definition(
            name=full, plugin=name, label=check.label, roles=check.roles, phase=phase, patched=_edges(part, full)
        )
        skipped = check in part.skipped_checks
        yield TaskSource(definition=definition, origin="check", part=part, check=check, roles=check.roles, skipped=skipped)


def _edges(part: PluginParts, name: str) -> list[PatchedEdge]:
    return part.patched[name].edges if name in part.patched else []


def _removal_tasks(part: PluginParts) -> Iterable[TaskSource]:
    name = part.plugin.name
    own = [task for task in part.tasks if task.on == "remove"]
    known = {edge for task in own for edge in (task.id, f"{name}.{task.id}")}
    deployed = {edge for task in part.tasks if task.on == "deploy" for edge in (task.id, f"{name}.{task.id}")}
    for task in own:
        # Everything is there when a removal begins, so edges to anchors and to what was deployed hold already.
        place = _position(task)
        definition = Definition(
            name=f"{name}.{task.id}",
            plugin=name,
            label=task.label,
            roles=task.roles,
            phase=REMOVAL_ANCHOR,
            after=[edge for edge in task.after if _target(edge) in known or _target(edge) not in {*deployed, *_GENERATED}],
            before=[edge for edge in task.before if _target(edge) in known or _target(edge) not in {*deployed, *_GENERATED}],
            implied=[f"{name}.{other.id}" for other in own if _position(other) < place],
        )
        yield TaskSource(definition=definition, origin="task", part=part, task=task, roles=task.roles)
    for task in (*part.tasks, *part.skipped_tasks):
        if isinstance(task, tasks.Service) and task.on == "deploy":
            definition = Definition(
                name=f"{name}.remove.{task.id}",
                plugin=name,
                label=task.label,
                phase=REMOVAL_ANCHOR,
                implied=[f"{name}.{other.id}" for other in own],
            )
            yield TaskSource(
                definition=definition, origin="remove.service", part=part, task=task, roles=task.roles, service=task.name
            )


def _target(edge: Edge) -> str:
    return edge if isinstance(edge, str) else edge.task


def _position(task: tasks.Task) -> int:
    return ANCHORS.index(task.phase) if task.phase is not None else ANCHORS.index("configure")


def _removal_generated(name: str, found: Sequence[TaskSource]) -> Iterable[TaskSource]:
    first = [
        source.definition.name
        for source in found
        if source.definition.plugin == name
        and (source.origin == "remove.service" or (source.task is not None and source.task.on == "remove"))
    ]
    files = Definition(name=f"{name}.remove.files", plugin=name, label="config_files", phase=REMOVAL_ANCHOR, implied=first)
    yield TaskSource(definition=files, origin="remove.files")
    packages = Definition(
        name=f"{name}.remove.packages", plugin=name, label="node_packages", phase=REMOVAL_ANCHOR, implied=[*first, files.name]
    )
    yield TaskSource(definition=packages, origin="remove.packages")


def _plugins_on_nodes(snapshot: Snapshot) -> set[str]:
    names: set[str] = set()
    for node in snapshot.nodes:
        for file in node.applied.files.values():
            names.update(file.plugins)
        for package in node.applied.packages.values():
            names.update(package.plugins)
    return names


def _twice(found: Sequence[TaskSource]) -> Iterable[Finding]:
    seen: set[str] = set()
    for source in found:
        definition = source.definition
        if definition.name in seen:
            yield Finding(
                rule="G006",
                plugin=definition.plugin,
                contribution=definition.label,
                field="id",
                message=f"the task {definition.name} is there twice.",
                remedy="Give each task an id of its own; repository, packages, files, check.*, remove.* and service.* are taken.",
            )
        seen.add(definition.name)


def _union(selectors: Iterable[Sequence[str]]) -> list[str]:
    return sorted({role for selector in selectors for role in selector})
