# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Removal: what Stoker brought to a node and nobody wants any more is taken away, and what it replaced comes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from stoker_sdk.extension_points import tasks

from stoker.domain.action import FileChange, FilesAction, PackagesAction, ServiceAction
from stoker.domain.plan import LeftOut, PlannedFile, PlannedInstance, PlannedPackage
from stoker.domain.snapshot import AppliedPackage
from stoker.planning.definitions import TaskSource
from stoker.planning.instances import TaskTemplate
from stoker.planning.parts import PluginParts
from stoker.planning.selectors import Membership
from stoker.planning.tables import NodeState, Tables

_REASON: Final = "remove"
_NOT_KNOWN: Final = "if there was one before Stoker came"
"""Said of an original of which that cannot be told."""


class Removal:
    """Makes the removal instances of each node, after everything that is wanted there is known."""

    def __init__(
        self,
        ordered: Sequence[TaskSource],
        parts: Sequence[PluginParts],
        templates: Sequence[TaskTemplate],
        tables: Tables,
        membership: Membership,
    ) -> None:
        """Keep the tasks that have to do with removal; ``templates`` stand in the order of ``ordered``."""
        self._tasks = [
            template for template in templates if template.source.task is not None and template.source.task.on == "remove"
        ]
        self._services = [(index, source) for index, source in enumerate(ordered) if source.origin == "remove.service"]
        self._names = [source.definition.name for source in ordered]
        self._index = {name: index for index, name in enumerate(self._names)}
        self._removing = {part.plugin.name for part in parts if part.plugin.removing}
        self._tables = tables
        self._membership = membership

    def add(self, state: NodeState) -> None:
        """Compare what is wanted (already in ``state``) with what was applied, and undo the rest."""
        applied = state.node.applied
        if not (applied.files or applied.packages or applied.tasks):
            return
        leaving = _traces(state) if state.node.removing else self._removing
        if leaving:
            self._own_tasks(state, leaving & _traces(state))
        self._stop_services(state, leaving)
        self._restore_files(state)
        self._remove_packages(state, leaving)

    def _own_tasks(self, state: NodeState, leaving: set[str]) -> None:
        for template in self._tasks:
            if template.plugin in leaving and self._membership.has(state.index, template.source.roles):
                template.add(state)

    def _stop_services(self, state: NodeState, leaving: set[str]) -> None:
        for index, source in self._services:
            plugin = source.definition.plugin
            own = source.definition.name.replace(f"{plugin}.remove.", f"{plugin}.", 1)
            if own not in state.applied or own in state.inputs or source.service in state.units:
                continue
            found = state.node.observed.services.get(source.service)
            runs = (found is None and plugin in leaving) or (found is not None and (found.active or found.enabled))
            brought = isinstance(source.task, tasks.Service) and source.task.state == "started"
            if runs and brought:
                action = ServiceAction(name=source.service, state="stopped", enabled=False)
                self._instance(index, plugin, state, self._tables.actions.add(action))

    def _restore_files(self, state: NodeState) -> None:
        by_plugin: dict[str, list[str]] = {}
        # What lies deeper goes first, so that a folder is empty when its turn comes.
        for path in sorted(state.node.applied.files, reverse=True):
            if path not in state.paths:
                by_plugin.setdefault(state.node.applied.files[path].plugins[0], []).append(path)
        for plugin, paths in sorted(by_plugin.items()):
            task = self._index[f"{plugin}.remove.files"]
            self._tables.files += [self._restored(state, path, task) for path in paths if _has_traces(state, path)]
            action = FilesAction(files=[FileChange(path=path, change="restore") for path in paths])
            self._instance(task, plugin, state, self._tables.actions.add(action))

    def _restored(self, state: NodeState, path: str, task: int) -> PlannedFile:
        found, applied = state.node.observed.files.get(path), state.node.applied.files[path]
        before = -1
        notes = [_NOT_KNOWN] if applied.original is None else []
        if found is not None and not applied.keyed_hash:
            before = self._tables.before(found.content)
            if found.kind == "file" and applied.sha256 and found.sha256 != applied.sha256:
                notes.append("was changed on the node since it was deployed")
        return PlannedFile(
            node=state.index,
            path=path,
            content=-1,
            status="remove" if applied.original is False else "restore",
            task=task,
            owner=applied.owner,
            group=applied.group,
            mode=applied.mode,
            before=before,
            note=", ".join(notes),
        )

    def _remove_packages(self, state: NodeState, leaving: set[str]) -> None:
        removed: dict[str, list[str]] = {}
        for name, package in sorted(state.node.applied.packages.items()):
            fate = self._fate(state, name, package, leaving)
            if fate is None:
                continue
            status, plugin = fate
            names = removed.setdefault(plugin, [])
            if status == "remove":
                names.append(name)
            installed = state.node.observed.packages.get(name, "")
            task = self._index[f"{plugin}.remove.packages"]
            self._tables.packages.append(
                PlannedPackage(node=state.index, name=name, status=status, task=task, installed=installed)
            )
        for plugin, names in sorted(removed.items()):
            self._instance(
                self._index[f"{plugin}.remove.packages"], plugin, state, self._tables.actions.add(PackagesAction(remove=names))
            )

    def _fate(
        self, state: NodeState, name: str, package: AppliedPackage, leaving: set[str]
    ) -> tuple[Literal["remove", "keep"], str] | None:
        """What becomes of a package, and by which plugin's task; ``None`` if nothing has to be done."""
        owner = next((plugin for plugin in package.plugins if plugin in leaving), None)
        if name not in state.packages and package.brought:
            return "remove", owner or package.plugins[0]
        return ("keep", owner) if owner is not None else None

    def _instance(self, index: int, plugin: str, state: NodeState, action: int) -> None:
        name = self._names[index]
        if state.leaves_out(name):
            state.left[name] = LeftOut(index, state.index, _REASON)
            self._tables.instances.append(PlannedInstance(index, state.index, action, "", ""))
            return
        state.plugins_running.add(plugin)
        self._tables.instances.append(PlannedInstance(index, state.index, action, "", _REASON))


def _has_traces(state: NodeState, path: str) -> bool:
    """Whether giving a path back changes anything there: not if it was only kept free, and nothing had been there."""
    applied = state.node.applied.files[path]
    return not applied.gone or applied.original is not False


def _traces(state: NodeState) -> set[str]:
    """Every plugin of which something is on the node."""
    applied = state.node.applied
    names = {name.split(".", 1)[0] for name in applied.tasks}
    for file in applied.files.values():
        names.update(file.plugins)
    for package in applied.packages.values():
        names.update(package.plugins)
    return names


def not_undone(parts: Iterable[PluginParts]) -> list[str]:
    """A warning for each plugin that goes and leaves effects of commands behind."""
    warnings: list[str] = []
    for part in parts:
        commands = [
            task.id for task in part.tasks if task.on == "deploy" and isinstance(task, tasks.Shell | tasks.Script | tasks.Custom)
        ]
        if part.plugin.removing and commands and not any(task.on == "remove" for task in part.tasks):
            names = ", ".join(sorted(commands))
            warnings.append(
                f"plugin {part.plugin.name} has no task with on=remove: what its commands did is not undone ({names})."
            )
    return warnings
