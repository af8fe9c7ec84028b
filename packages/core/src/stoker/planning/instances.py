# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Instances: each task on each of its nodes, with its action, the hash of its inputs, and why it runs or does not."""

from __future__ import annotations

from typing import Final, Literal, cast

import msgspec
from stoker_sdk.extension_points import tasks

from stoker.domain.action import Action, CommandAction, FileChange, FilesAction, PackagesAction, ServiceAction
from stoker.domain.plan import LeftOut, PlannedFile, PlannedInstance, PlannedPackage
from stoker.domain.repository import source_of
from stoker.domain.snapshot import NodeInput, Snapshot
from stoker.planning.actions import build_action, build_check, digest, varies, without_indexes
from stoker.planning.definitions import TaskSource, triggers_of
from stoker.planning.files import FileAttributes, file_status, note
from stoker.planning.kinds import KindTask
from stoker.planning.packages import package_status
from stoker.planning.tables import CHANGED, NodeState, Tables
from stoker.planning.values import Scope, ValueFault

_NOT_MADE = (-1, "")
_SEEN: Final = ":"
"""Stands in a task's inputs before the hash of the files and packages whose change triggers it."""


class TaskTemplate:
    """One task on one class of nodes; what is the same on all of them is made once."""

    def __init__(self, index: int, source: TaskSource, tables: Tables, snapshot: Snapshot) -> None:
        """Prepare the task; ``index`` is its place in the plan."""
        self.index = index
        self.source = source
        self.name = source.definition.name
        self.plugin = source.definition.plugin
        self._tables = tables
        self._secret_hashes = snapshot.secret_hashes
        self._repository = snapshot.repository
        member = source.task or source.check
        self._varies = member is not None and varies(member)
        self._triggers = triggers_of(source.task) if source.task is not None else []
        self._shared: tuple[int, str] | None = None
        self._inputs: dict[tuple[int, str], str] = {}
        self._when = member.when if member is not None else None
        self._restarting: int | None = None

    def add(self, state: NodeState) -> None:
        """Make the task's instance on a node, if its condition holds there."""
        action, own = self._action(state)
        if action < 0:
            return
        if self.source.skipped:
            self._pass_through(state, action)
            return
        inputs = self._hash(action, own, state)
        effects = self._look_at_effects(self._tables.actions.items[action], state)
        left = state.leaves_out(self.name)
        fired = self._fired(state, inputs, everything=left)
        reason = self._reason(state, inputs, effects, fired=fired)
        if left:
            self._leave_out(state, action, reason)
            reason = ""
        task = self.source.task
        if isinstance(task, tasks.Service) and reason and task.state == "started" and (fired or self.name not in state.applied):
            action = self._with_restart(action, task)
        self._append(state, action, inputs, reason)

    def _fired(self, state: NodeState, inputs: str, *, everything: bool) -> bool:
        """Whether something changes that matters to the task, or has changed since the task last succeeded.

        Args:
            state: the node.
            inputs: the task's.
            everything: whether what a partial plan leaves out counts as changing.
        """
        if any(_has_changed(trigger, self.plugin, state, everything=everything) for trigger in self._triggers):
            return True
        before, now = _seen_then(state.applied.get(self.name, "")), _seen_then(inputs)
        return bool(before and now) and before != now

    def _leave_out(self, state: NodeState, action: int, reason: str) -> None:
        planned = self._tables.actions.items[action]
        if isinstance(planned, FilesAction):
            state.left_paths.update(change.path for change in planned.files)
        elif isinstance(planned, PackagesAction):
            state.left_packages.update([*(item.name for item in planned.install), *planned.remove])
        if reason:
            owed = any(_has_changed(trigger, self.plugin, state, everything=False) for trigger in self._triggers)
            state.left[self.name] = LeftOut(self.index, state.index, reason, owed)

    def add_check(self, state: NodeState) -> None:
        """A health check runs where something else of its plugin runs."""
        action, own = self._action(state)
        if action >= 0 and self.source.skipped:
            self._pass_through(state, action)
        elif action >= 0:
            reason = "check" if self.plugin in state.plugins_running and not state.leaves_out(self.name) else ""
            self._append(state, action, self._hash(action, own, state), reason)

    def _pass_through(self, state: NodeState, action: int) -> None:
        """Another plugin skips the task: it stands in the plan so that order holds across it, and never runs."""
        self._tables.instances.append(PlannedInstance(self.index, state.index, action, ""))

    def _append(self, state: NodeState, action: int, inputs: str, reason: str) -> None:
        state.inputs[self.name] = inputs
        if reason:
            state.running.add(self.name)
            if reason != "check":
                state.plugins_running.add(self.plugin)
        self._tables.instances.append(PlannedInstance(self.index, state.index, action, inputs, reason))

    def _action(self, state: NodeState) -> tuple[int, str]:
        if self._shared is not None:
            return self._shared
        part = self.source.part
        if part is None:
            return _NOT_MADE
        part.scope.enter(state.index)
        try:
            made = self._build(part.scope)
        except ValueFault as fault:
            self._tables.fault(fault.finding, state.node.name)
            return _NOT_MADE
        if not self._varies:
            self._shared = made
        return made

    def _build(self, scope: Scope) -> tuple[int, str]:
        task, check = self.source.task, self.source.check
        if not scope.holds(self._when, self.source.definition.label):
            return _NOT_MADE
        if self.source.skipped:
            return self._tables.actions.add(CommandAction()), ""
        if task is not None:
            action = build_action(scope, task, self._tables.contents)
            if isinstance(action, PackagesAction) and action.install:
                action = self._with_repository(action)
            return self._tables.actions.add(action), self._own(scope, action)
        if check is not None:
            return self._tables.actions.add(build_check(scope, check)), ""
        return _NOT_MADE

    def _with_repository(self, action: PackagesAction) -> PackagesAction:
        part = self.source.part
        if part is None or not part.repositories or self._repository is None:
            return action
        return msgspec.structs.replace(action, repositories=[source_of(self.plugin)], way=self._repository.way)

    def _own(self, scope: Scope, action: Action) -> str:
        """What an action only names, so that its change counts as a change of inputs."""
        named: list[str] = []
        if isinstance(self.source.task, tasks.Script | tasks.Upload):
            named.append(scope.plugin.blobs[self.source.task.source])
        if isinstance(self.source.task, KindTask):
            named.append(self.source.task.digest)
        if isinstance(action, FilesAction):
            contents = self._tables.contents.items
            named += [contents[int(item.content)].sha256 for item in action.files if item.content.isdigit()]
        return " ".join(named)

    def _hash(self, action: int, own: str, state: NodeState) -> str:
        prints = [_fingerprint(trigger, self.plugin, state) for trigger in self._triggers]
        ran = " ".join(text for text in prints if text.startswith("task:"))
        seen = " ".join(text for text in prints if text and not text.startswith("task:"))
        key = (action, f"{own}|{ran}|{seen}")
        found = self._inputs.get(key)
        if found is None:
            text = msgspec.json.encode(without_indexes(self._tables.actions.items[action])).decode()
            found = digest(text, own, ran)
            if seen:
                found = f"{found}{_SEEN}{digest(seen)}"
            self._inputs[key] = found
        return found

    def _reason(self, state: NodeState, inputs: str, effects: str, *, fired: bool) -> str:
        task = self.source.task
        if task is not None and task.on == "remove":
            return "remove"
        before = state.applied.get(self.name)
        if before is None:
            return "new"
        if effects == "drift":
            return "drift"
        if task is not None and task.always:
            return "always"
        if fired:
            return "triggered"
        if task is not None and task.run_on:
            return ""
        if before != inputs:
            return "inputs"
        return "drift" if effects else ""

    def _with_restart(self, action: int, task: tasks.Service) -> int:
        if self._restarting is None:
            planned = cast("ServiceAction", self._tables.actions.items[action])
            how: Literal["restart", "reload"] = "reload" if task.reload else "restart"
            self._restarting = self._tables.actions.add(msgspec.structs.replace(planned, restart=how))
        return self._restarting

    def _look_at_effects(self, action: Action, state: NodeState) -> str:
        """Note which files, packages and units the task brings; answers ``drift``, ``different``, or an empty text."""
        statuses: list[str] = []
        if isinstance(action, FilesAction):
            statuses = [self._look_at_file(change, state) for change in action.files]
        elif isinstance(action, PackagesAction):
            statuses = [self._look_at_package(item.name, state, remove=False) for item in action.install]
            statuses += [self._look_at_package(name, state, remove=True) for name in action.remove]
        elif isinstance(action, ServiceAction):
            state.units.add(action.name)
            last = state.last_of_unit.get(action.name, self.index) == self.index
            return "drift" if last and _service_drifted(action, state.node) else ""
        if "drift" in statuses:
            return "drift"
        return "different" if any(status != "same" for status in statuses) else ""

    def _look_at_file(self, change: FileChange, state: NodeState) -> str:
        status = self._file_status(change, state)
        if self.source.task is not None and self.source.task.on == "remove":
            return status  # what the plugin had made there is given back besides
        state.paths[change.path] = status
        found = state.node.observed.files.get(change.path)
        if change.change == "remove" and status != "same":
            self._tables.files.append(
                PlannedFile(
                    node=state.index,
                    path=change.path,
                    content=-1,
                    status="remove",
                    task=self.index,
                    before=-1 if found is None else self._tables.before(found.content),
                    note=_taken_away(change.path, state),
                )
            )
        if change.content.isdigit():
            content = int(change.content)
            planned = self._tables.contents.items[content]
            state.sums[change.path] = planned.sha256
            self._tables.files.append(
                PlannedFile(
                    node=state.index,
                    path=change.path,
                    content=content,
                    status=cast("Literal['create', 'change', 'drift', 'same']", status),
                    task=self.index,
                    owner=change.owner,
                    group=change.group,
                    mode=change.mode,
                    before=-1 if status == "same" or found is None else self._tables.before(found.content),
                    note="" if status == "same" else note(found, FileAttributes(change.owner, change.group, change.mode)),
                )
            )
        elif change.content and self.source.part is not None:
            state.sums[change.path] = self._blob_sum(change)
        return status

    def _blob_sum(self, change: FileChange) -> str:
        part = self.source.part
        return part.plugin.blobs.get(change.content.split(":", 2)[2], "") if part is not None else ""

    def _file_status(self, change: FileChange, state: NodeState) -> str:
        attributes = FileAttributes(change.owner, change.group, change.mode)
        if change.content.isdigit():
            key = f"{state.node.name} {change.path}"
            planned = self._tables.contents.items[int(change.content)]
            return file_status(state.node, change.path, planned, attributes, self._secret_hashes.get(key))
        found = state.node.observed.files.get(change.path)
        there = found is not None and found.kind != "absent"
        if change.change in ("remove", "discard"):
            return "remove" if there else "same"
        wanted = "directory" if change.change == "directory" else "file"
        fits = (
            found is not None
            and found.kind == wanted
            and (found.owner, found.group, found.mode) == (attributes.owner, attributes.group, attributes.mode)
            and (wanted == "directory" or found.sha256 == self._blob_sum(change))
        )
        if fits:
            return "same"
        applied = state.node.applied.files.get(change.path)
        return "drift" if applied is not None and not applied.gone else ("change" if there else "create")

    def _look_at_package(self, name: str, state: NodeState, *, remove: bool) -> str:
        installed = state.node.observed.packages.get(name, "")
        status: Literal["install", "upgrade", "downgrade", "drift", "same", "remove"]
        status = ("remove" if installed else "same") if remove else package_status(state.node, name)
        state.packages[name] = status
        part = self.source.part
        if part is not None and self.source.task is not None:
            self._tables.packages.append(
                PlannedPackage(
                    node=state.index,
                    name=name,
                    status=status,
                    task=self.index,
                    installed=installed,
                    origins=[self._tables.origins.add(part.plugin, self.source.task)],
                )
            )
        return status


def _taken_away(path: str, state: NodeState) -> str:
    applied = state.node.applied.files.get(path)
    if applied is not None and applied.gone:
        return "is there again"
    if applied is not None and applied.original is False:
        return "was made by Stoker"
    return "comes back when the plugin goes"


def _seen_then(inputs: str) -> str:
    """Of a task's inputs the part that tells which files and packages it has taken into account."""
    return inputs.partition(_SEEN)[2]


def _fingerprint(trigger: str, plugin: str, state: NodeState) -> str:
    kind, _, name = trigger.partition(":")
    if kind == "file" and name in state.left_paths:
        applied = state.node.applied.files.get(name)  # it stays as it is
        return f"{trigger}={applied.sha256 if applied is not None else ''}"
    if kind == "file":
        return f"{trigger}={state.sums[name]}" if name in state.sums else ""
    if kind == "package":
        return f"{trigger}={name in state.packages}"
    full = name if name in state.inputs else f"{plugin}.{name}"
    known = state.applied if full in state.left else state.inputs
    return f"{trigger}={known.get(full, '')}"


def _has_changed(trigger: str, plugin: str, state: NodeState, *, everything: bool) -> bool:
    kind, _, name = trigger.partition(":")
    if kind == "file":
        # What was brought and is wanted no more goes before anything starts.
        status = state.paths.get(name, "" if name not in state.node.applied.files else "restore")
        return status in CHANGED and (everything or name not in state.left_paths)
    if kind == "package":
        return state.packages.get(name, "") in CHANGED and (everything or name not in state.left_packages)
    names = {name, f"{plugin}.{name}"}
    return bool(names & state.running) or (everything and bool(names & state.left.keys()))


def _service_drifted(action: ServiceAction, node: NodeInput) -> bool:
    found = node.observed.services.get(action.name)
    if found is None:
        return False
    return found.active != (action.state == "started") or (action.enabled is not None and found.enabled != action.enabled)
