# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds: whether the plugin's own kinds of tasks have usable schemas, and tasks of them fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from stoker_sdk.extension_points.task_kinds import TaskKind
from stoker_sdk.extension_points.tasks import Custom
from stoker_sdk.model.expression import Expression
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.plugin import Plugin
from stoker_sdk.validation.parameters import misfits, schema_validator


def check_kinds(plugin: Plugin, *, try_values: bool = True) -> Iterable[Finding]:
    """Own kinds and their tasks; kinds of other plugins are seen when the plugin is enabled.

    Args:
        plugin: whose.
        try_values: whether constants are tried on the schemas, of which a hostile one can make that last for ever.
    """
    own: dict[str, TaskKind] = {}
    for item in plugin.contributions:
        if not isinstance(item, TaskKind):
            continue
        if item.name in own:
            yield Finding(
                rule="Q004",
                contribution=item.label,
                field="name",
                message=f"the kind {item.name!r} is there twice.",
                remedy="Give each kind a name of its own.",
            )
        own[item.name] = item
        yield from _schema(item)
    for item in plugin.contributions:
        if isinstance(item, Custom):
            yield from _task(plugin, item, own, try_values=try_values)


def _schema(kind: TaskKind) -> Iterable[Finding]:
    try:
        schema_validator(msgspec.json.encode(kind.schema))
        reason = "" if kind.schema.get("type") == "object" else "its type is not 'object'"
    except ValueError as error:
        reason = str(error).splitlines()[0]
    if reason:
        yield Finding(
            rule="Q005",
            contribution=kind.label,
            field="parameters",
            message=f"it is not a JSON Schema that parameters can have: {reason}.",
            remedy="Use schema_of, and patterns without look-around or back references.",
        )


def _task(plugin: Plugin, task: Custom, own: Mapping[str, TaskKind], *, try_values: bool) -> Iterable[Finding]:
    name = task.kind.removeprefix(f"{plugin.name}.")
    kind = own.get(name)
    if kind is None:
        if "." not in name:
            yield Finding(
                rule="Q006",
                contribution=task.label,
                field="kind",
                message=f"this plugin has no kind of task {name!r}.",
                remedy=f"{did_you_mean(name, own)}A kind of another plugin is PLUGIN.NAME.",
            )
        return
    if not try_values:
        return
    known = {key: value for key, value in task.parameters.items() if _is_constant(value)}
    unknown = frozenset(task.parameters) - known.keys()
    try:
        # A stranger among the names is one whatever its value: that is seen with any value.
        for error in misfits(kind.schema, known, unknown):
            path = ".".join(str(step) for step in error.instance_path)
            yield Finding(
                rule="Q007",
                contribution=task.label,
                field=f"parameters.{path}" if path else "parameters",
                message=f"it does not fit the kind {name}: {error.message}.",
                remedy="Give what the kind's schema asks for.",
            )
    except ValueError:
        return  # told of the schema


def _is_constant(value: object) -> bool:
    items = value if isinstance(value, list | tuple) else [value]
    return not any(isinstance(item, Expression) for item in items)
