# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Code: whether the contributions that bring it fit together, and whether the plugin can carry any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from stoker_sdk.extension_points.actions import Action
from stoker_sdk.extension_points.before_plan import BeforePlan
from stoker_sdk.extension_points.commands import Command
from stoker_sdk.extension_points.events import EventHandler
from stoker_sdk.extension_points.permissions import Permission
from stoker_sdk.extension_points.records import Collection
from stoker_sdk.extension_points.rest_api import RestApi
from stoker_sdk.extension_points.serializer_hooks import SerializerHook
from stoker_sdk.extension_points.validate_settings import ValidateSettings
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.plugin import Plugin
from stoker_sdk.source.functions import references

_ONE: Final = (RestApi, ValidateSettings)
_YAML: Final = "plugin.yaml"


def check_code_parts(plugin: Plugin) -> Iterator[Finding]:
    """Names are unique, and what contributions name of each other is there."""
    yield from _check_single(plugin)
    permissions = {item.name for item in plugin.contributions if isinstance(item, Permission)}
    collections = {item.name: item for item in plugin.contributions if isinstance(item, Collection)}
    for item in plugin.contributions:
        for field, name in _permissions(item):
            if name and name not in permissions:
                yield Finding(
                    rule="X091",
                    contribution=item.label,
                    field=field,
                    message=f"the plugin declares no permission {name[:80]!r}.",
                    remedy=f"{did_you_mean(name, permissions)}Add permissions.Permission(name={name[:80]!r}, ...).",
                )
        if isinstance(item, SerializerHook):
            yield from _check_records(item, collections)
        if isinstance(item, Command):
            yield from _check_command(item, plugin)


def check_code_carried(plugin: Plugin, folder: Path) -> Iterable[Finding]:
    """Code comes with a Python project alone."""
    if not (folder / _YAML).is_file():
        return
    for item in plugin.contributions:
        for field, _ in references(item):
            yield Finding(
                rule="X094",
                contribution=item.label,
                field=field,
                message="it needs code, and a plugin.yaml carries none.",
                remedy="Make the plugin a Python project: 'stoker-plugin new NAME --code' shows one.",
            )


def _check_single(plugin: Plugin) -> Iterator[Finding]:
    for kind in _ONE:
        for second in [item.label for item in plugin.contributions if isinstance(item, kind)][1:]:
            message = "the plugin has more than one; it can have one."
            yield Finding(rule="X089", contribution=second, message=message, remedy="Make one of them.")
    seen: set[tuple[type, str]] = set()
    for item in plugin.contributions:
        if not isinstance(item, Action | BeforePlan | Command | EventHandler | Permission | Collection | SerializerHook):
            continue
        if (type(item), item.name) in seen:
            message = f"the name {item.name[:80]!r} stands twice."
            yield Finding(rule="X090", contribution=item.label, field="name", message=message, remedy="Rename one of them.")
        seen.add((type(item), item.name))


def _permissions(item: Contribution) -> Iterator[tuple[str, str]]:
    if isinstance(item, Action | SerializerHook):
        yield "permission", item.permission
    if isinstance(item, RestApi):
        for index, route in enumerate(item.routes):
            yield f"routes[{index}].permission", route.permission


def _check_records(hook: SerializerHook, collections: dict[str, Collection]) -> Iterator[Finding]:
    for index, name in enumerate(hook.records):
        collection = collections.get(name)
        if collection is None:
            message, remedy = f"the plugin declares no collection {name[:80]!r}.", did_you_mean(name, collections)
            remedy += f"Add records.Collection(name={name[:80]!r}, ...)."
        elif collection.key_of != hook.target:
            message = f"the keys of collection {name} are not ids of a {hook.target}."
            remedy = f"Write key_of={hook.target!r} in the collection, or leave it out here."
        else:
            continue
        yield Finding(rule="X092", contribution=hook.label, field=f"records[{index}]", message=message, remedy=remedy)


def _check_command(command: Command, plugin: Plugin) -> Iterator[Finding]:
    if not any(isinstance(item, RestApi) for item in plugin.contributions):
        message = "nothing answers it: the plugin has no application."
        yield Finding(
            rule="X093", contribution=command.label, message=message, remedy="Add rest_api.RestApi(...), which answers it."
        )
