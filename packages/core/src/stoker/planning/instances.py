# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Instances: each task on each of its nodes, with its action, the hash of its inputs, and why it runs or does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from stoker_sdk.extension_points import tasks

from stoker.domain.action import Action, FileChange, FilesAction, PackageChange, PackagesAction, ServiceAction
from stoker.domain.plan import PlannedFile, PlannedInstance, PlannedPackage
from stoker.domain.snapshot import NodeInput, Snapshot
from stoker.planning.actions import Actions, build_action, build_check, digest, varies
from stoker.planning.definitions import TaskSource, triggers_of
from stoker.planning.files import NOT_MANAGED, Contents, FileProgram, file_status, note
from stoker.planning.packages import NeededPackage, PackageProgram, package_status
from stoker.planning.parts import NodeClass
from stoker.planning.values import Scope

CHANGED: Final = frozenset({"create", "change", "drift", "install", "restore", "remove"})


class Tables(msgspec.Struct, kw_only=True):
    """What grows while instances are made: the plan's tables."""

    contents: Contents
    actions: Actions
    files: list[PlannedFile] = []
    packages: list[PlannedPackage] = []
    instances: list[PlannedInstance] = []
    befores: list[str] = []
    before_index: dict[str, int] = {}

    def before(self, text: str | None) -> int:
        """The index of a text found on a node; -1 for none."""
        if text is None:
            return -1
        if text not in self.before_index:
            self.before_index[text] = len(self.befores)
            self.befores.append(text)
        return self.before_index[text]


class NodeState:
    """What is known of one node while its instances are made."""

    __slots__ = ("applied", "index", "inputs", "node", "packages", "paths", "plugins_running", "running", "sums")

    def __init__(self, index: int, node: NodeInput) -> None:
        self.index = index
        self.node = node
        self.applied = node.applied.tasks
        self.paths: dict[str, str] = {}
        self.sums: dict[str, str] = {}
        self.packages: dict[str, str] = {}
        self.running: set[str] = set()
        self.inputs: dict[str, str] = {}
        self.plugins_running: set[str] = set()


class TaskTemplate:
    """One task on one class of nodes; what is the same on all of them is made once."""

    def __init__(self, index: int, source: TaskSource, tables: Tables, snapshot: Snapshot) -> None:
        """Prepare the task; ``index`` is its place in the plan."""
        self.index = index
        self.source = source
        self.name = source.definition.name
        self.plugin = source.definition.plugin
        self._tables = tables
        self._marker = snapshot.marker
        member = source.task or source.check
        self._varies = member is not None and varies(member)
        self._triggers = triggers_of(source.task) if source.task is not None else []
        self._shared: tuple[int, str] | bool | None = False
        self._inputs: dict[tuple[int, str], str] = {}
        self._when = member.when if member is not None else None
        self._service: dict[bool, int] = {}

    def add(self, state: NodeState) -> None:
        """Make the task's instance on a node, if its condition holds there."""
        made = self._action(state)
        if made is None:
            return
        action, own = made
        inputs = self._hash(action, own, state)
        fired = self._fired(state)
        reason = self._reason(state, inputs, fired)
        task = self.source.task
        if isinstance(task, tasks.Service) and reason:
            restart = fired or self.name not in state.applied
            action = self._with_restart(action, task, restart=restart and task.state == "started")
        self._append(state, action, inputs, reason)

    def _append(self, state: NodeState, action: int, inputs: str, reason: str) -> None:
        state.inputs[self.name] = inputs
        if reason:
            state.running.add(self.name)
            if self.source.origin != "check":
                state.plugins_running.add(self.plugin)
        self._tables.instances.append(PlannedInstance(self.index, state.index, action, inputs, reason))

    def _action(self, state: NodeState) -> tuple[int, str] | None:
        if not self._varies and self._shared is not False:
            return self._shared  # type: ignore[return-value]
        part = self.source.part
        if part is None:
            return None
        part.scope.enter(state.index)
        made = self._build(part.scope)
        if not self._varies:
            self._shared = made
        return made

    def _build(self, scope: Scope) -> tuple[int, str] | None:
        task, check = self.source.task, self.source.check
        label = self.source.definition.label
        if not scope.holds(self._when, label):
            return None
        if task is not None:
            action = build_action(scope, task, self._tables.contents, self._marker)
            return self._tables.actions.add(action), self._own(scope, action)
        if check is not None:
            return self._tables.actions.add(build_check(scope, check, self._marker)), ""
        return None

    def _own(self, scope: Scope, action: Action) -> str:
        """What an action only names, so that its change counts as a change of inputs."""
        named: list[str] = []
        if isinstance(self.source.task, tasks.Script | tasks.Upload):
            named.append(scope.plugin.blobs[self.source.task.source])
        if isinstance(action, FilesAction):
            contents = self._tables.contents.items
            named += [contents[int(item.content)].sha256 for item in action.files if item.content.isdigit()]
        return " ".join(named)

    def _hash(self, action: int, own: str, state: NodeState) -> str:
        prints = " ".join(_fingerprint(trigger, self.plugin, state) for trigger in self._triggers)
        key = (action, f"{own}|{prints}")
        found = self._inputs.get(key)
        if found is None:
            text = msgspec.json.encode(_without_indexes(self._tables.actions.items[action])).decode()
            found = self._inputs[key] = digest(text, own, prints)
        return found

    def _fired(self, state: NodeState) -> bool:
        return any(_has_changed(trigger, self.plugin, state) for trigger in self._triggers)

    def _reason(self, state: NodeState, inputs: str, fired: bool) -> str:
        task = self.source.task
        if self.source.check is not None:
            return ""  # decided when all others are known
        if task is not None and task.on == "remove":
            return "remove"
        before = state.applied.get(self.name)
        if before is None:
            return "new"
        if task is not None and task.always:
            return "always"
        if fired:
            return "triggered"
        if isinstance(task, tasks.Service) and _service_drifted(task, state.node):
            return "drift"
        if task is not None and task.run_on:
            return ""
        return "" if before == inputs else "inputs"

    def _with_restart(self, action: int, task: tasks.Service, *, restart: bool) -> int:
        if not restart:
            return action
        found = self._service.get(restart)
        if found is None:
            planned = self._tables.actions.items[action]
            if not isinstance(planned, ServiceAction):
                return action
            how = "reload" if task.reload else "restart"
            found = self._service[restart] = self._tables.actions.add(msgspec.structs.replace(planned, restart=how))
        return found

    def add_check(self, state: NodeState) -> None:
        """A health check runs where something else of its plugin runs, or where it has not succeeded yet."""
        made = self._action(state)
        if made is not None:
            inputs = self._hash(made[0], made[1], state)
            wanted = self.plugin in state.plugins_running or self.name not in state.applied
            self._append(state, made[0], inputs, "check" if wanted else "")


def _without_indexes(action: Action) -> Action:
    """The action without indexes into this plan's tables: they change though nothing else does."""
    if isinstance(action, FilesAction):
        return FilesAction(files=[msgspec.structs.replace(item, content="") for item in action.files])
    return action


def _fingerprint(trigger: str, plugin: str, state: NodeState) -> str:
    kind, _, name = trigger.partition(":")
    if kind == "file":
        return f"{trigger}={state.sums.get(name, '')}"
    if kind == "package":
        return f"{trigger}={name in state.packages}"
    full = name if name in state.inputs else f"{plugin}.{name}"
    return f"{trigger}={state.inputs.get(full, '')}"


def _has_changed(trigger: str, plugin: str, state: NodeState) -> bool:
    kind, _, name = trigger.partition(":")
    if kind == "file":
        return state.paths.get(name, "") in CHANGED
    if kind == "package":
        return state.packages.get(name, "") in CHANGED
    return name in state.running or f"{plugin}.{name}" in state.running


def _service_drifted(task: tasks.Service, node: NodeInput) -> bool:
    found = node.observed.services.get(task.name)
    if found is None:
        return False
    return found.active != (task.state == "started") or (task.enabled is not None and found.enabled != task.enabled)


class GeneratedTasks:
    """The tasks ``packages`` and ``files`` of each plugin on one class of nodes."""

    def __init__(
        self,
        group: NodeClass,
        programs: Sequence[FileProgram],
        packages: PackageProgram,
        task_index: dict[str, int],
        tables: Tables,
    ) -> None:
        """Keep the programs of the class."""
        self._group = group
        self._programs = programs
        self._packages = packages
        self._index = task_index
        self._tables = tables
        self._memo: dict[tuple[object, ...], tuple[int, str]] = {}

    def add_packages(self, state: NodeState) -> None:
        """Packages of a node and the tasks that install them."""
        by_plugin: dict[str, list[NeededPackage]] = {}
        for needed in self._packages.needed(state.index):
            status = package_status(state.node, needed.name)
            state.packages[needed.name] = status
            for plugin in needed.plugins:
                by_plugin.setdefault(plugin, []).append(needed)
            self._tables.packages.append(
                PlannedPackage(
                    node=state.index,
                    name=needed.name,
                    status=status,
                    task=self._index[f"{needed.plugins[0]}.packages"],
                    installed=state.node.observed.packages.get(needed.name, ""),
                    constraint=needed.constraint,
                    origins=needed.origins,
                )
            )
        for plugin, members in by_plugin.items():
            key = (plugin, *((item.name, item.constraint) for item in members))
            action, inputs = self._memoised(
                key,
                lambda members=members: PackagesAction(
                    install=[PackageChange(item.name, constraint=item.constraint) for item in members]
                ),
            )
            statuses = [state.packages[item.name] for item in members]
            self._instance(state, f"{plugin}.packages", plugin, action, inputs, statuses)

    def add_files(self, state: NodeState, secret_hashes: dict[str, str]) -> None:
        """Files of a node and the tasks that write them."""
        by_plugin: dict[str, list[tuple[FileProgram, int]]] = {}
        for program in self._programs:
            content = program.content(state.index)
            if content != NOT_MANAGED:
                by_plugin.setdefault(program.plugins[0], []).append((program, content))
        for plugin, members in by_plugin.items():
            name = f"{plugin}.files"
            statuses = [self._file(state, program, content, self._index[name], secret_hashes) for program, content in members]
            key = (plugin, *((program.path, content) for program, content in members))
            action, inputs = self._memoised(key, lambda members=members: _write(members), members)
            self._instance(state, name, plugin, action, inputs, statuses)

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
                before=-1 if status == "same" or found is None or has_secrets else self._tables.before(found.content),
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
            text = msgspec.json.encode(_without_indexes(action)).decode()
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
        if reason:
            state.running.add(name)
            state.plugins_running.add(plugin)
        self._tables.instances.append(PlannedInstance(self._index[name], state.index, action, inputs, reason))


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
