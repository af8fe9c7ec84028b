# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The tasks that no plugin wrote: ``PLUGIN.repository``, ``PLUGIN.packages`` and ``PLUGIN.files``, where they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from stoker.domain.action import Action, FileChange, FilesAction, PackageChange, PackagesAction
from stoker.domain.plan import LeftOut, PlannedFile, PlannedInstance, PlannedPackage
from stoker.planning.actions import digest, without_indexes
from stoker.planning.files import NOT_MANAGED, FileProgram, file_status, note
from stoker.planning.packages import NeededPackage, PackageProgram, package_status
from stoker.planning.repositories import Offer, RepositoryProgram
from stoker.planning.tables import NodeState, Tables
from stoker.planning.values import ValueFault


class GeneratedTasks:
    """The tasks ``packages`` and ``files`` of each plugin on one class of nodes."""

    def __init__(
        self,
        programs: Sequence[FileProgram],
        packages: PackageProgram,
        repositories: RepositoryProgram,
        task_index: dict[str, int],
        tables: Tables,
    ) -> None:
        """Keep the programs of the class."""
        self._programs = programs
        self._packages = packages
        self._repositories = repositories
        self._index = task_index
        self._tables = tables
        self._memo: dict[tuple[object, ...], tuple[int, str]] = {}

    def add_packages(self, state: NodeState) -> None:
        """Packages of a node, the tasks that install them, and the repositories that they come from."""
        by_plugin: dict[str, list[NeededPackage]] = {}
        all_needed = self._needed(state)
        offer = self._offer(state, all_needed)
        for needed in all_needed:
            version = offer.version(needed.name)
            status = package_status(state.node, needed.name, needed.constraint, version)
            state.packages[needed.name] = status
            owners = [f"{plugin}.packages" for plugin in needed.plugins]
            owner = next((name for name in owners if not state.leaves_out(name)), None)
            if owner is None:
                state.left_packages.add(needed.name)
            for plugin in needed.plugins:
                by_plugin.setdefault(plugin, []).append(needed)
            self._tables.packages.append(
                PlannedPackage(
                    node=state.index,
                    name=needed.name,
                    status=status,
                    task=self._index[owner or owners[0]],
                    installed=state.node.observed.packages.get(needed.name, ""),
                    version=version,
                    constraint=needed.constraint,
                    origins=needed.origins,
                )
            )
        for plugin, members in by_plugin.items():
            key = (plugin, offer.plugins, *((item.name, item.constraint, offer.version(item.name)) for item in members))
            action, inputs = self._memoised(key, partial(_install, plugin, members, offer))
            statuses = [state.packages[item.name] for item in members]
            self._instance(state, f"{plugin}.packages", plugin, action, inputs, statuses)

    def _offer(self, state: NodeState, needed: Sequence[NeededPackage]) -> Offer:
        """What the repositories of the node's plugins give, and the files that make them known there."""
        try:
            offer = self._repositories.offer(state.node, needed)
        except ValueFault as fault:
            self._tables.fault(fault.finding, state.node.name)
            return Offer()
        for plugin in offer.plugins:
            name = f"{plugin}.repository"
            members = self._repositories.files(plugin)
            statuses = [self._file(state, program, content, self._index[name], {}) for program, content in members]
            key = (name, *((program.path, content) for program, content in members))
            action, inputs = self._memoised(key, partial(_write, members), members)
            self._instance(state, name, plugin, action, inputs, statuses)
        return offer

    def _needed(self, state: NodeState) -> list[NeededPackage]:
        try:
            return self._packages.needed(state.index)
        except ValueFault as fault:
            self._tables.fault(fault.finding, state.node.name)
            return []

    def add_files(self, state: NodeState, secret_hashes: dict[str, str]) -> None:
        """Files of a node and the tasks that write them."""
        by_plugin: dict[str, list[tuple[FileProgram, int]]] = {}
        for program in self._programs:
            try:
                content = program.content(state.index)
            except ValueFault as fault:
                self._tables.fault(fault.finding, state.node.name)
                continue
            if content != NOT_MANAGED:
                by_plugin.setdefault(program.plugins[0], []).append((program, content))
        for plugin, members in by_plugin.items():
            name = f"{plugin}.files"
            statuses = [self._file(state, program, content, self._index[name], secret_hashes) for program, content in members]
            key = (plugin, *((program.path, content) for program, content in members))
            action, inputs = self._memoised(key, partial(_write, members), members)
            self._instance(state, name, plugin, action, inputs, statuses)
            if state.leaves_out(name):
                state.left_paths.update(program.path for program, _ in members)

    def _file(self, state: NodeState, program: FileProgram, content: int, task: int, secret_hashes: dict[str, str]) -> str:
        planned = self._tables.contents.items[content]
        attributes = program.attributes
        has_secrets = not isinstance(planned.text, str)
        secret_hash = secret_hashes.get(f"{state.node.name} {program.path}") if has_secrets else None
        status = file_status(state.node, program.path, planned, attributes, secret_hash)
        found = state.node.observed.files.get(program.path)
        state.paths[program.path] = status
        state.sums[program.path] = planned.sha256
        self._tables.files.append(
            PlannedFile(
                node=state.index,
                path=program.path,
                content=content,
                status=status,
                task=task,
                owner=attributes.owner,
                group=attributes.group,
                mode=attributes.mode,
                before=-1 if status == "same" or found is None else self._tables.before(found.content),
                note="" if status == "same" else note(found, attributes),
            )
        )
        return status

    def _memoised(
        self, key: tuple[object, ...], make: Callable[[], Action], members: Sequence[tuple[FileProgram, int]] = ()
    ) -> tuple[int, str]:
        found = self._memo.get(key)
        if found is None:
            action = make()
            sums = [f"{program.path} {self._tables.contents.items[content].sha256}" for program, content in members]
            text = msgspec.json.encode(without_indexes(action)).decode()
            found = self._memo[key] = (self._tables.actions.add(action), digest(text, *sums))
        return found

    def _instance(self, state: NodeState, name: str, plugin: str, action: int, inputs: str, statuses: Sequence[str]) -> None:
        before = state.applied.get(name)
        if before is None:
            reason = "new"
        elif "drift" in statuses:
            reason = "drift"
        elif before != inputs or any(status != "same" for status in statuses):
            reason = "inputs"
        else:
            reason = ""
        state.inputs[name] = inputs
        if state.leaves_out(name):
            if reason:
                state.left[name] = LeftOut(self._index[name], state.index, reason)
            reason = ""
        if reason:
            state.running.add(name)
            state.plugins_running.add(plugin)
        self._tables.instances.append(PlannedInstance(self._index[name], state.index, action, inputs, reason))


def _install(plugin: str, members: Sequence[NeededPackage], offer: Offer) -> PackagesAction:
    changes = [PackageChange(item.name, offer.version(item.name), item.constraint) for item in members]
    used = offer.sources(plugin, [item.name for item in members])
    return PackagesAction(install=changes, repositories=used, way=offer.way if used else "")


def _write(members: Sequence[tuple[FileProgram, int]]) -> FilesAction:
    return FilesAction(
        files=[
            FileChange(
                path=program.path,
                content=str(content),
                owner=program.attributes.owner,
                group=program.attributes.group,
                mode=program.attributes.mode,
            )
            for program, content in members
        ]
    )
