# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds: tasks of kinds that plugins bring get their kind's program and time; their parameters are held against its schema."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Final

import msgspec
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.task_kinds import TaskKind
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.model.program import compile_expression

from stoker.domain.action import KindAction
from stoker.domain.snapshot import PluginInput
from stoker.planning.parts import PluginParts
from stoker.planning.secret_places import encoded, holds_secret
from stoker.planning.values import ForeignValue, Scope, ValueFault, refuse_broken, sources

_KNOWN_EARLY: Final = frozenset({"settings", "environment"})
"""Variables whose values are known before any node is."""


class KindTask(tasks.Custom, frozen=True, kw_only=True, tag="tasks.custom"):
    """A task with what its kind says of it."""

    program: str
    """``blob:PLUGIN:PATH``."""
    digest: str
    """Of the program's bytes."""
    dry_run: bool
    schema: Mapping[str, object]


def apply_kinds(parts: Sequence[PluginParts]) -> tuple[list[PluginParts], list[Finding]]:
    """The plugins with the kinds of their tasks filled in, and a finding for each kind that nobody brings."""
    kinds: dict[str, tuple[PluginInput, TaskKind]] = {
        f"{part.plugin.name}.{item.name}": (part.plugin, item)
        for part in parts
        for item in part.contributions
        if isinstance(item, TaskKind)
    }
    if not any(isinstance(task, tasks.Custom) for part in parts for task in part.tasks):
        return list(parts), []
    findings: list[Finding] = []
    made: list[PluginParts] = []
    for part in parts:
        there = [_task(part, task, kinds, findings) if isinstance(task, tasks.Custom) else task for task in part.tasks]
        made.append(msgspec.structs.replace(part, tasks=[task for task in there if task is not None]))
    return made, findings


def _task(
    part: PluginParts, task: tasks.Custom, kinds: Mapping[str, tuple[PluginInput, TaskKind]], findings: list[Finding]
) -> KindTask | None:
    name = task.kind if "." in task.kind else f"{part.plugin.name}.{task.kind}"
    owner, kind = kinds.get(name, (None, None))
    if owner is None or kind is None or (owner.removing and not part.plugin.removing):
        if part.plugin.removing and task.on == "deploy":
            return None  # it is not run any more, and a broken plugin cannot stop its own removal
        findings.append(
            Finding(
                rule="Q010",
                plugin=part.plugin.name,
                contribution=task.label,
                field="kind",
                message=f"no enabled plugin brings the kind of task {name}.",
                remedy=f"{did_you_mean(name, kinds)}Enable the plugin that brings it, or correct the name.",
            )
        )
        return None
    given = {field: getattr(task, field) for field in task.__struct_fields__}
    given["kind"] = name
    given["timeout"] = task.timeout or kind.timeout
    guarded = bool(task.unless or task.creates)
    given["idempotent"] = task.idempotent if task.idempotent is not None else guarded or kind.idempotent
    digest = owner.blobs.get(kind.executable, "")
    program = f"blob:{owner.name}:{kind.executable}"
    return KindTask(**given, program=program, digest=digest, dry_run=kind.dry_run, schema=kind.schema)


def check_parameters(parts: Sequence[PluginParts]) -> Iterator[Finding]:
    """A finding for each parameter that does not fit its kind, as far as that is known before any node is."""
    for part in parts:
        for task in part.tasks:
            if isinstance(task, KindTask):
                known = {
                    name: value
                    for name, item in task.parameters.items()
                    if (value := _early(part.scope, task, item)) is not _LATER
                }
                for field, message in _misfits(task, known):
                    yield _fault(part.scope, task, field, message).finding


_LATER: Final = object()


def _early(scope: Scope, task: KindTask, value: object) -> object:
    if isinstance(value, ForeignValue) or any(
        not compile_expression(source).variables <= _KNOWN_EARLY for source in sources(value)
    ):
        return _LATER
    try:
        return scope.evaluate(value, task.label, "parameters")
    except ValueFault:
        return _LATER  # settings are incomplete still


def kind_action(scope: Scope, task: KindTask) -> KindAction:
    """The action of a task on the node that the scope has entered.

    Raises:
        ValueFault: a value cannot be had, or does not fit the kind.
    """
    values: dict[str, object] = {}
    for name in sorted(task.parameters):
        values[name] = scope.evaluate(task.parameters[name], task.label, f"parameters.{name}")
    for field, message in _misfits(task, values):
        raise _fault(scope, task, field, message)
    try:
        text = json.dumps(values, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _fault(scope, task, "parameters", f"JSON cannot carry what expressions give here: {error}") from error
    refuse_broken(scope, text, task.label, "parameters")
    return KindAction(
        kind=task.kind,
        program=task.program,
        parameters=scope.secrets.split(encoded(text, "quoted")),
        unless=task.unless or "",
        creates=task.creates or "",
    )


def _fault(scope: Scope, task: KindTask, field: str, message: str) -> ValueFault:
    remedy = "Give what the kind's schema asks for."
    return scope.fault(task.label, field, f"{message}, says the kind {task.kind}.", remedy, rule="Q011")


def _misfits(task: KindTask, known: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Field and reason of each misfit; a value that holds a secret is not judged: planning does not know it."""
    checks = _schema_checks()
    unknown = frozenset(task.parameters) - known.keys()
    try:
        for error in checks.misfits(task.schema, known, unknown):
            place: object = known
            for step in error.instance_path:
                place = place[step] if isinstance(place, Mapping | list) else None
            if place is not known and holds_secret(str(place)):
                continue
            path = ".".join(["parameters", *(str(step) for step in error.instance_path)])
            yield path, checks.reason(error)
    except ValueError as error:
        yield "kind", f"its schema cannot be used: {str(error).splitlines()[0]}"


def _schema_checks() -> ModuleType:
    """Loaded when the first task of a kind needs it: most plans have none, and the library takes longer to load than they do."""
    return importlib.import_module("stoker.planning.schema_checks")
