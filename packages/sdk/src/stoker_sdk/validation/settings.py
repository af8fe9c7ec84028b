# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Settings: whether the schema is one, and its defaults, conditions and generators fit it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import jsonschema_rs
import msgspec

from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.generator import GENERATORS
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.plugin import Plugin
from stoker_sdk.validation.expressions import check_source
from stoker_sdk.validation.parameters import schema_validator

_NOT_SCHEMAS: Final = frozenset({"default", "examples", "const", "enum", "x-secret", "x-when"})
_LOOP = re.compile(r"\.(map|filter|all|exists|exists_one)\s*\(")
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_VARIABLES: Final = frozenset({"settings", "item"})
"""What conditions and names may use: all settings, and the group that the field stands in."""


def check_settings(plugin: Plugin, *, try_defaults: bool) -> Iterable[Finding]:
    """Everything about the settings contribution; fields are named by their place in the schema."""
    points = [item for item in plugin.contributions if isinstance(item, Settings)]
    if len(points) > 1:
        yield Finding(
            rule="V001", contribution="settings", message="There are several settings contributions.", remedy="Keep one."
        )
    for item in points:
        try:
            _validator(item.json_schema)
        except ValueError as error:
            message = f"It is not a JSON Schema that can be used: {str(error).splitlines()[0]}."
            remedy = "Use Settings.from_model, and patterns without look-around or back references."
            yield Finding(rule="V002", contribution="settings", field="schema", message=message, remedy=remedy)
            continue
        for place, field in _schemas(item.json_schema, "schema"):
            yield from _field(item.json_schema, place, field)
            if try_defaults:
                yield from _default(item.json_schema, place, field)


def _field(root: Mapping[str, object], place: str, field: Mapping[str, object]) -> Iterable[Finding]:
    how = field.get("x-secret")
    if isinstance(how, Mapping):
        generator = how.get("generator")
        if generator is not None and generator not in GENERATORS:
            message = f"there is no generator {generator!r}."
            remedy = f"{did_you_mean(str(generator), GENERATORS)}Use one of: {', '.join(sorted(GENERATORS))}."
            yield Finding(rule="V003", contribution="settings", field=place, message=message, remedy=remedy)
        yield from _source(root, f"{place}.x-secret.names", how.get("names"))
    condition = field.get("x-when")
    yield from _source(root, f"{place}.x-when", condition)
    if isinstance(condition, str) and _LOOP.search(_QUOTED.sub("''", condition)):
        message = f"the condition {condition!r} has a loop."
        remedy = "Conditions of settings compare values only."
        yield Finding(rule="V006", contribution="settings", field=f"{place}.x-when", message=message, remedy=remedy)


def _source(root: Mapping[str, object], place: str, source: object) -> Iterable[Finding]:
    if source is None:
        return
    if not isinstance(source, str):
        message = f"{source!r} is not the text of an expression."
        yield Finding(
            rule="V005", contribution="settings", field=place, message=message, remedy="Write CEL, e.g. 'settings.tls'."
        )
        return
    for finding in check_source(root, place, source, _VARIABLES):
        yield Finding(
            rule=finding.rule, contribution="settings", field=finding.field, message=finding.message, remedy=finding.remedy
        )


def _default(root: Mapping[str, object], place: str, field: Mapping[str, object]) -> Iterable[Finding]:
    secret = field.get("x-secret") not in (None, False)
    # An empty default stands for "not given yet" where the value is made or asked for later.
    if "default" not in field or (field["default"] in (None, "") and (secret or "x-when" in field)):
        return
    try:
        validator = _validator({**{key: root[key] for key in ("$defs", "definitions") if key in root}, **field})
    except ValueError:
        return  # it leans on another place of the schema; the whole is usable, as was seen before
    for error in validator.iter_errors(field["default"]):
        yield Finding(
            rule="V004",
            contribution="settings",
            field=f"{place}.default",
            message=f"the default does not fit its own setting: {error.message}.",
            remedy="Give a default that an operator could give.",
        )


def _schemas(schema: object, place: str) -> Iterable[tuple[str, Mapping[str, object]]]:
    """Every schema in a schema with its place."""
    if isinstance(schema, Mapping):
        yield place, schema
        for key, value in schema.items():
            if key in ("properties", "$defs", "definitions", "patternProperties") and isinstance(value, Mapping):
                for name, inner in value.items():
                    yield from _schemas(inner, f"{place}.{key}.{name}")
            elif key not in _NOT_SCHEMAS:
                yield from _schemas(value, f"{place}.{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _schemas(value, f"{place}[{index}]")


def _validator(schema: Mapping[str, object]) -> jsonschema_rs.Draft202012Validator:
    """As the server makes it."""
    return schema_validator(msgspec.json.encode(schema))
