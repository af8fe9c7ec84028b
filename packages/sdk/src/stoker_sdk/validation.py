# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Validation: everything that can be found wrong with a plugin before it is built, all at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import jsonschema_rs
import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from stoker_sdk.errors import ExpressionError
from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option, WholeFile
from stoker_sdk.extension_points.health_checks import HealthCheck
from stoker_sdk.extension_points.node_packages import NodePackages
from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.extension_points.tasks import Script, Task
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.dependency import ANCHORS
from stoker_sdk.model.expression import Expression, condition_source
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.generator import GENERATORS, PUBLIC_PARTS
from stoker_sdk.model.program import compile_expression
from stoker_sdk.plugin import Plugin
from stoker_sdk.source import named_files

NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
VARIABLES: Final = frozenset({"settings", "public", "node", "nodes", "by_role", "environment"})
_VALUE_FIELDS: Final = ("value", "items", "content", "host", "arguments")


def check_plugin(plugin: Plugin, folder: Path | None = None) -> list[Finding]:
    """All findings of a plugin, in the order of its contributions.

    Args:
        plugin: as loaded.
        folder: its folder; without it, files are not looked for.
    """
    findings = [*_head(plugin), *_settings_point(plugin)]
    for contribution in plugin.contributions:
        found = [*contribution.check(), *_expressions(plugin, contribution), *_paths(contribution), *_versions(contribution)]
        findings += [msgspec.structs.replace(finding, contribution=contribution.label) for finding in found]
    findings += _tasks(plugin)
    if folder is not None:
        findings += _files(plugin, folder)
    return [msgspec.structs.replace(finding, plugin=plugin.name) for finding in findings]


def _head(plugin: Plugin) -> Iterable[Finding]:
    if not NAME.fullmatch(plugin.name) or len(plugin.name) > 64:
        yield Finding(
            rule="P001",
            field="name",
            message=f"{plugin.name!r} is not a name.",
            remedy="Lower case letters, digits, dashes; at most 64.",
        )
    try:
        Version(plugin.version)
    except InvalidVersion:
        yield Finding(rule="P002", field="version", message=f"{plugin.version!r} is not a version.", remedy="Write e.g. 1.0.0.")
    try:
        SpecifierSet(plugin.requires_stoker)
    except InvalidSpecifier:
        message = f"{plugin.requires_stoker!r} is not a version specifier."
        yield Finding(rule="P003", field="requires_stoker", message=message, remedy="Write e.g. >=0.1,<1.")
    for field in ("requires_plugins", "conflicts_plugins"):
        for index, text in enumerate(getattr(plugin, field)):
            try:
                Requirement(text)
            except InvalidRequirement:
                yield Finding(
                    rule="P004",
                    field=f"{field}[{index}]",
                    message=f"{text!r} is not a requirement.",
                    remedy="Write e.g. ceph>=1.2.",
                )
    if not plugin.title.strip():
        yield Finding(rule="P005", field="title", message="There is no title.", remedy="Say in one line what the plugin is for.")


def _schema(plugin: Plugin) -> Mapping[str, object] | None:
    return next((item.json_schema for item in plugin.contributions if isinstance(item, Settings)), None)


def _settings_point(plugin: Plugin) -> Iterable[Finding]:
    points = [item for item in plugin.contributions if isinstance(item, Settings)]
    if len(points) > 1:
        yield Finding(
            rule="V001", contribution="settings", message="There are several settings contributions.", remedy="Keep one."
        )
    for item in points:
        try:
            jsonschema_rs.meta.validate(dict(item.json_schema))
            jsonschema_rs.validator_for(dict(item.json_schema))
        except ValueError as error:
            message = f"It is not a JSON Schema: {str(error).splitlines()[0]}."
            yield Finding(
                rule="V002", contribution="settings", field="schema", message=message, remedy="Use Settings.from_model."
            )
        for place, how in _secret_fields(item.json_schema, "schema"):
            generator = how.get("generator")
            if generator is not None and generator not in GENERATORS:
                message = f"there is no generator {generator!r}."
                remedy = f"Use one of: {', '.join(sorted(GENERATORS))}."
                yield Finding(rule="V003", contribution="settings", field=place, message=message, remedy=remedy)


def _secret_fields(schema: object, place: str) -> Iterable[tuple[str, Mapping[str, object]]]:
    """Every ``x-secret`` of a schema with its place."""
    if isinstance(schema, Mapping):
        if isinstance(how := schema.get("x-secret"), Mapping):
            yield place, how
        for key, value in schema.items():
            if key not in ("default", "examples", "const", "enum"):
                yield from _secret_fields(value, f"{place}.{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _secret_fields(value, f"{place}[{index}]")


def _values(contribution: Contribution) -> Iterable[tuple[str, object]]:
    for field in _VALUE_FIELDS:
        if hasattr(contribution, field):
            yield field, getattr(contribution, field)
    for name, value in getattr(contribution, "environment", {}).items():
        yield f"environment.{name}", value
    for index, item in enumerate(getattr(contribution, "files", ())):
        yield f"files[{index}].content", getattr(item, "content", None)


def _sources(contribution: Contribution) -> Iterable[tuple[str, str]]:
    source = condition_source(contribution.when)
    if source is not None:
        yield "when", source
    for field, value in _values(contribution):
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, Expression):
                yield field, item.source


def _expressions(plugin: Plugin, contribution: Contribution) -> Iterable[Finding]:
    schema = _schema(plugin)
    for field, source in _sources(contribution):
        try:
            program = compile_expression(source)
        except ExpressionError as error:
            yield Finding(rule="X001", field=field, message=f"{error}.", remedy="Write it in CEL; see the page on expressions.")
            continue
        paths = program.paths()
        for path in sorted(paths):
            name, *rest = path.split(".")
            if name == "public" and rest and not _is_public(schema, rest):
                message = f"{source!r} reads public.{'.'.join(rest)}, but no setting has such a public part."
                parts = ", ".join(f"{part} of {maker}" for maker, names in PUBLIC_PARTS.items() for part in names)
                yield Finding(rule="X003", field=field, message=message, remedy=f"There are: {parts}.")
            if name == "settings" and rest and not _in_schema(schema, rest):
                message = f"{source!r} reads settings.{'.'.join(rest)}, which the settings do not have."
                yield Finding(rule="X003", field=field, message=message, remedy="Add the setting, or correct the name.")
        bound = set(re.findall(r"\.(?:map|filter|all|exists|exists_one)\(\s*(\w+)\s*,", source))
        for name in sorted(program.variables - VARIABLES - bound):
            message = f"{source!r} uses {name}, which expressions do not have."
            yield Finding(rule="X002", field=field, message=message, remedy=f"There are {', '.join(sorted(VARIABLES))}.")
        if isinstance(contribution, Script) and field == "arguments" and any(_is_secret(schema, path) for path in paths):
            yield Finding(
                rule="X004",
                field=field,
                message="A secret cannot be an argument: it would show in the process list.",
                remedy="Use environment.",
            )


def _in_schema(schema: Mapping[str, object] | None, path: Sequence[str]) -> bool:
    return _lookup(schema, path) is not None


def _is_public(schema: Mapping[str, object] | None, path: Sequence[str]) -> bool:
    """Whether a path under ``public`` is a part of a pair that a generator makes."""
    found = _lookup(schema, path[:-1])
    how = found.get("x-secret") if isinstance(found, Mapping) else None
    return isinstance(how, Mapping) and path[-1] in PUBLIC_PARTS.get(str(how.get("generator")), ())


def _is_secret(schema: Mapping[str, object] | None, path: str) -> bool:
    name, *rest = path.split(".")
    found = _lookup(schema, rest) if name == "settings" else None
    return isinstance(found, Mapping) and "x-secret" in found


def _lookup(schema: Mapping[str, object] | None, path: Sequence[str]) -> object:
    """The schema of a setting, as far as it says; what an open object holds is allowed."""
    place: object = schema
    for name in path:
        place = _resolve(schema, place)
        if not isinstance(place, Mapping):
            return None
        properties = place.get("properties")
        if not isinstance(properties, Mapping):
            return place
        place = properties.get(name)
    return _resolve(schema, place)


def _resolve(schema: Mapping[str, object] | None, place: object) -> object:
    if isinstance(place, Mapping) and isinstance(reference := place.get("$ref"), str) and schema is not None:
        found: object = schema
        for part in reference.removeprefix("#/").split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found
    return place


def _paths(contribution: Contribution) -> Iterable[Finding]:
    paths = []
    if isinstance(contribution, ConfigFile | Option | ListItem | WholeFile):
        paths.append(("path", contribution.path))
    if isinstance(contribution, Task):
        paths += [
            (field, getattr(contribution, field))
            for field in ("path", "creates", "directory", "file")
            if getattr(contribution, field, None)
        ]
        paths += [(f"files[{index}].path", item.path) for index, item in enumerate(getattr(contribution, "files", ()))]
    for field, path in paths:
        if not path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path or "\n" in path:
            yield Finding(
                rule="F001", field=field, message=f"{path!r} is not an absolute path.", remedy="Begin with / and leave out '..'."
            )


def _versions(contribution: Contribution) -> Iterable[Finding]:
    if isinstance(contribution, NodePackages):
        for index, package in enumerate(contribution.packages):
            if not isinstance(package, str) and package.version:
                try:
                    SpecifierSet(package.version)
                except InvalidSpecifier:
                    message = f"{package.version!r} is not a constraint."
                    yield Finding(rule="F005", field=f"packages[{index}].version", message=message, remedy="Write e.g. >=4.3,<5.")


def _tasks(plugin: Plugin) -> Iterable[Finding]:
    seen: set[str] = set()
    own = {item.id for item in plugin.contributions if isinstance(item, Task)}
    known = own | set(ANCHORS) | {"packages", "files"}
    known |= {f"check.{item.id}" for item in plugin.contributions if isinstance(item, HealthCheck)}
    for item in plugin.contributions:
        if not isinstance(item, Task | HealthCheck):
            continue
        key = f"{'check.' if isinstance(item, HealthCheck) else ''}{item.id}"
        if key in seen or item.id in ANCHORS or item.id in ("packages", "files"):
            yield Finding(
                rule="P006",
                contribution=item.label,
                field="id",
                message=f"the id {item.id!r} is taken.",
                remedy="Choose another.",
            )
        seen.add(key)
        for field in ("after", "before") if isinstance(item, Task) else ():
            for index, edge in enumerate(getattr(item, field)):
                name, optional = (edge, False) if isinstance(edge, str) else (edge.task, edge.optional)
                if not optional and name not in known and name.partition(".")[0] in ("", plugin.name, name):
                    yield Finding(
                        rule="P007",
                        contribution=item.label,
                        field=f"{field}[{index}]",
                        message=f"there is no task {name!r} here.",
                        remedy=f"Known: {', '.join(sorted(known))}; tasks of others are PLUGIN.ID.",
                    )


def _files(plugin: Plugin, folder: Path) -> Iterable[Finding]:
    root = folder.resolve()
    for name, label in named_files(plugin).items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or not path.resolve().is_relative_to(root):
            yield Finding(
                rule="F002",
                contribution=label,
                file=name,
                message="it is outside the plugin's folder.",
                remedy="Copy the file into it.",
            )
        elif not path.is_file():
            yield Finding(
                rule="F003",
                contribution=label,
                file=name,
                message="it is not there.",
                remedy="Add the file, or correct the name.",
            )
