# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Actions: a task with its values becomes what a node does; equal actions are kept once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.health_checks import HealthCheck
from stoker_sdk.model.expression import Expression, Value, condition_source

from stoker.domain.action import (
    Action,
    CommandAction,
    FileChange,
    FilesAction,
    PackageChange,
    PackagesAction,
    RebootAction,
    ServiceAction,
    WaitForAction,
)
from stoker.domain.secret import Text
from stoker.planning.files import Contents
from stoker.planning.kinds import KindTask, kind_action
from stoker.planning.secret_places import encoded, holds_secret
from stoker.planning.values import Scope, is_shared, refuse_broken, write_text
from stoker.planning.variables import unfit_variable


class Actions:
    """Actions with their indexes and hashes; equal ones are kept once."""

    def __init__(self) -> None:
        """Start empty."""
        self.items: list[Action] = []
        self._index: dict[bytes, int] = {}
        self._encoder = msgspec.json.Encoder()

    def add(self, action: Action) -> int:
        """The index of an action."""
        key = self._encoder.encode(action)
        found = self._index.get(key)
        if found is None:
            found = self._index[key] = len(self.items)
            self.items.append(action)
        return found


def digest(*parts: str) -> str:
    """A short hash of texts, for inputs."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def command_environment(scope: Scope, values: Mapping[str, Value], label: str) -> dict[str, Text]:
    """Environment variables with their values; lists are joined by blanks."""
    result: dict[str, Text] = {}
    for name in sorted(values):
        value = scope.evaluate(values[name], label, f"environment.{name}")
        text = " ".join(write_text(item) for item in value) if isinstance(value, list) else write_text(value)
        reason = unfit_variable(name, text)
        if reason:
            raise scope.fault(label, f"environment.{name}", *reason, rule="T020")
        refuse_broken(scope, text, label, f"environment.{name}")
        result[name] = scope.secrets.split(encoded(text, "variable"))
    return result


def _blob(scope: Scope, path: str, label: str) -> str:
    if path not in scope.plugin.blobs:
        raise scope.fault(label, "source", f"the bundle has no file {path}.", "Build the bundle again.", file=path)
    return f"blob:{scope.plugin.name}:{path}"


def _arguments(scope: Scope, task: tasks.Script) -> list[str]:
    value = scope.evaluate(list(task.arguments), task.label, "arguments")
    arguments = [write_text(item) for item in value] if isinstance(value, list) else []
    for argument in arguments:
        refuse_broken(scope, argument, task.label, "arguments")
        if "\0" in argument:
            raise scope.fault(task.label, "arguments", "an argument holds a null byte.", "Take it out.", rule="T020")
    if any(holds_secret(argument) for argument in arguments):
        raise scope.fault(
            task.label, "arguments", "a secret cannot be an argument: it would show in the process list.", "Use environment."
        )
    return arguments


def _files(scope: Scope, task: tasks.Files, contents: Contents) -> FilesAction:
    changes = []
    for item in task.files:
        if item.state == "file":
            value = scope.evaluate(item.content, task.label, "content")
            text = "".join(f"{write_text(part)}\n" for part in value) if isinstance(value, list) else write_text(value)
            refuse_broken(scope, text, task.label, "content", item.path)
            content = str(contents.add(text, []))
            changes.append(
                FileChange(path=item.path, content=content, owner=item.owner, group=item.group, mode=item.mode or "0644")
            )
        elif item.state == "directory":
            changes.append(
                FileChange(path=item.path, change="directory", owner=item.owner, group=item.group, mode=item.mode or "0755")
            )
        else:
            # Nothing comes back of what a plugin takes away when it goes itself.
            changes.append(FileChange(path=item.path, change="discard" if task.on == "remove" else "remove"))
    return FilesAction(files=changes)


def _wait_for(scope: Scope, task: tasks.WaitFor) -> WaitForAction:
    host = write_text(scope.evaluate(task.host, task.label, "host"))
    refuse_broken(scope, host, task.label, "host")
    if holds_secret(host):
        raise scope.fault(task.label, "host", "a secret cannot be a host's name.", "Use a setting that is no secret.")
    if (task.port is None) == (task.file is None):
        raise scope.fault(task.label, "port", "give either port or file.", "Remove one of the two, or add one.")
    port = None if task.port is None else _port(scope, task)
    return WaitForAction(host=host, port=port, file=task.file or "", interval=task.interval)


def _port(scope: Scope, task: tasks.WaitFor) -> int:
    value = scope.evaluate(task.port, task.label, "port")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON does not tell 80 from 80.0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= tasks.MAX_PORT:
        shown = "a secret" if holds_secret(str(value)) else repr(value)
        raise scope.fault(task.label, "port", f"{shown} is not a port.", "Give a whole number from 1 to 65535.")
    return value


def build_action(scope: Scope, task: tasks.Task, contents: Contents) -> Action:
    """The action of a task on the node that the scope has entered; a service's restart is decided later.

    Raises:
        ValueFault: a value cannot be had, or the bundle lacks a file.
    """
    unless, creates = task.unless or "", task.creates or ""
    match task:
        case tasks.Shell():
            environment = command_environment(scope, task.environment, task.label)
            return CommandAction(run=task.run, environment=environment, directory=task.directory, unless=unless, creates=creates)
        case tasks.Script():
            return CommandAction(
                script=_blob(scope, task.source, task.label),
                arguments=_arguments(scope, task),
                environment=command_environment(scope, task.environment, task.label),
                directory=task.directory,
                unless=unless,
                creates=creates,
            )
        case KindTask():
            return kind_action(scope, task)
        case tasks.Upload():
            content = _blob(scope, task.source, task.label)
            change = FileChange(path=task.path, content=content, owner=task.owner, group=task.group, mode=task.mode)
            return FilesAction(files=[change])
        case tasks.Service():
            environment = command_environment(scope, task.environment, task.label)
            return ServiceAction(
                name=task.name, state=task.state, enabled=task.enabled, ready=task.ready or "", environment=environment
            )
        case tasks.Reboot():
            return RebootAction(unless=unless, creates=creates)
        case tasks.WaitFor():
            return _wait_for(scope, task)
        case tasks.Packages() if task.state == "present":
            return PackagesAction(install=[PackageChange(name) for name in task.packages])
        case tasks.Packages():
            return PackagesAction(remove=list(task.packages))
        case tasks.Files():
            return _files(scope, task, contents)
        case _:
            raise scope.fault(task.label, "point", "this kind of task is not known here.", "Upgrade Stoker.")


def build_check(scope: Scope, check: HealthCheck) -> CommandAction:
    """The command of a health check."""
    return CommandAction(run=check.run, environment=command_environment(scope, check.environment, check.label))


def varies(task: tasks.Task | HealthCheck) -> bool:
    """Whether a task's action or condition differs from node to node."""
    values: list[object] = []
    if isinstance(task, tasks.Shell | tasks.Script | tasks.Service | HealthCheck):
        values += task.environment.values()
    if isinstance(task, tasks.Script):
        values += task.arguments
    if isinstance(task, tasks.Custom):
        values += task.parameters.values()
    if isinstance(task, tasks.WaitFor):
        values += [task.host, task.port]
    if isinstance(task, tasks.Files):
        values += [item.content for item in task.files]
    source = condition_source(task.when)
    if source is not None:
        values.append(Expression(source))
    return not all(is_shared(value) for value in values)


def without_indexes(action: Action) -> Action:
    """The action without indexes into this plan's tables: they change though nothing else does."""
    if isinstance(action, FilesAction):
        return FilesAction(files=[msgspec.structs.replace(item, content="") for item in action.files])
    return action
