# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The ledger of nodes: what a finished instance has brought or taken away, as rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from stoker.db.journal import AppliedChange
from stoker.domain.action import FileChange, FilesAction
from stoker.domain.node import ObservedFile
from stoker.domain.plan import OPERATOR, Plan, PlannedFile, PlannedInstance, PlannedPackage
from stoker.domain.snapshot import Applied, AppliedFile, AppliedPackage, Snapshot

_encode = msgspec.json.encode
TRANSIENT_KINDS = frozenset({"check"})
"""Kinds of tasks whose success is not kept: they run whenever they are planned."""


class Ledger:
    """Knows, for each instance of a plan, the rows that its success changes."""

    def __init__(self, plan: Plan, snapshot: Snapshot | None) -> None:
        """Index the plan; the snapshot says what was applied before."""
        self._plan = plan
        nodes = [] if snapshot is None else snapshot.nodes
        self._before: dict[str, Applied] = {node.id: node.applied for node in nodes}
        self._found: dict[str, dict[str, ObservedFile]] = {node.id: node.observed.files for node in nodes}
        self._installing = {plan.nodes[item.node].id for item in plan.packages if item.status == "install"}
        self._files: dict[tuple[int, int], list[PlannedFile]] = defaultdict(list)
        self._packages: dict[tuple[int, int], list[PlannedPackage]] = defaultdict(list)
        for file in plan.files:
            self._files[file.task, file.node].append(file)
        for package in plan.packages:
            self._packages[package.task, package.node].append(package)
        self._owners: dict[int, list[str]] = {}

    def started(self, instance: PlannedInstance) -> AppliedChange:
        """An instance will run: what it did before no longer counts, so that a half-done one runs again."""
        return AppliedChange("task", self._plan.nodes[instance.node].id, self._plan.tasks[instance.task].name, None)

    def owed(self) -> Iterator[AppliedChange]:
        """Tasks that this deployment triggers and leaves out: what they did before no longer counts either."""
        for item in self._plan.left_out:
            if item.owed:
                yield AppliedChange("task", self._plan.nodes[item.node].id, self._plan.tasks[item.task].name, None)

    def finished(self, instance: PlannedInstance) -> list[AppliedChange]:
        """An instance succeeded."""
        task, node = self._plan.tasks[instance.task], self._plan.nodes[instance.node].id
        place = (instance.task, instance.node)
        removing = instance.run == "remove"
        changes = [
            self._forgotten(file.path, node) if removing else self._file(file, node, task.plugin)
            for file in self._files.get(place, ())
        ]
        changes += [self._package(package, node, task.plugin) for package in self._packages.get(place, ())]
        action = self._plan.actions[instance.action]
        if isinstance(action, FilesAction):
            known = {change.key for change in changes}
            changes += [
                self._forgotten(change.path, node) if removing else self._plain(change, node, task.plugin)
                for change in action.files
                if change.path not in known
            ]
        if task.kind not in TRANSIENT_KINDS and not removing:
            changes.append(AppliedChange("task", node, task.name, instance.inputs))
        return changes

    def _file(self, file: PlannedFile, node: str, plugin: str) -> AppliedChange:
        if file.content < 0:
            return self._gone(file.path, node, plugin)
        applied = AppliedFile(
            sha256=self._plan.contents[file.content].sha256,
            plugins=self._owners_of(file.content) or [plugin],
            owner=file.owner,
            group=file.group,
            mode=file.mode,
            keyed_hash=self._plan.keyed_hashes.get(str(file.content), ""),
            original=self._original(file.path, node),
        )
        return AppliedChange("file", node, file.path, _encode(applied).decode())

    def _owners_of(self, content: int) -> list[str]:
        if content not in self._owners:
            origins = {number for line in self._plan.contents[content].lines for number in line}
            owners = {self._plan.origins[number].plugin for number in origins}
            self._owners[content] = sorted(owners - {OPERATOR})
        return self._owners[content]

    def _plain(self, change: FileChange, node: str, plugin: str) -> AppliedChange:
        """A path that the plan does not follow line by line: a directory, a file of a bundle, or nothing."""
        if change.change not in ("write", "directory"):
            return self._gone(change.path, node, plugin)
        sha256 = self._plan.contents[int(change.content)].sha256 if change.content.isdecimal() else ""
        applied = AppliedFile(
            sha256=sha256,
            plugins=[plugin],
            owner=change.owner,
            group=change.group,
            mode=change.mode,
            original=self._original(change.path, node),
        )
        return AppliedChange("file", node, change.path, _encode(applied).decode())

    def _forgotten(self, path: str, node: str) -> AppliedChange:
        return AppliedChange("file", node, path, None)

    def _gone(self, path: str, node: str, plugin: str) -> AppliedChange:
        """What was there is kept on the node and comes back when the plugin goes: that has to be remembered."""
        applied = AppliedFile(sha256="", plugins=[plugin], gone=True, original=self._original(path, node))
        return AppliedChange("file", node, path, _encode(applied).decode())

    def _original(self, path: str, node: str) -> bool | None:
        """Whether something was at a path before the first deployment that took it over."""
        before = self._before.get(node, Applied()).files.get(path)
        if before is not None:
            return before.original
        found = self._found.get(node, {}).get(path)
        if found is not None and found.kind != "absent":
            return True
        return None if found is None or node in self._installing else False

    def _package(self, package: PlannedPackage, node: str, plugin: str) -> AppliedChange:
        before = self._before.get(node, Applied()).packages.get(package.name)
        owners = sorted({self._plan.origins[number].plugin for number in package.origins})
        gone = set(self._plan.remove_plugins)
        if package.status == "keep":
            owners = [name for name in (before.plugins if before else owners) if name not in gone]
        if package.status == "remove" or (package.status == "keep" and not owners):
            return AppliedChange("package", node, package.name, None)
        brought = before.brought if before else not package.installed
        applied = AppliedPackage(plugins=owners or [plugin], brought=brought, version=package.version)
        return AppliedChange("package", node, package.name, _encode(applied).decode())
