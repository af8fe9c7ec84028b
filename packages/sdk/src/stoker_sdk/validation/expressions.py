# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Expressions: whether they are CEL and name what is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from stoker_sdk.errors import ExpressionError
from stoker_sdk.extension_points.tasks import Script
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.expression import Expression, condition_source
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.generator import PUBLIC_PARTS
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.model.program import compile_expression
from stoker_sdk.plugin import Plugin
from stoker_sdk.validation.schema_paths import find_setting, is_public, is_secret, names_beside, settings_schema

VARIABLES: Final = frozenset({"settings", "public", "node", "nodes", "by_role", "by_service", "primary", "environment"})
_VALUE_FIELDS: Final = ("value", "items", "content", "host", "port", "arguments")
_BOUND = re.compile(r"\.(?:map|filter|all|exists|exists_one)\(\s*(\w+)\s*,")


def check_expressions(plugin: Plugin, contribution: Contribution) -> Iterable[Finding]:
    """Every expression of a contribution."""
    schema = settings_schema(plugin)
    for field, source in _sources(contribution):
        yield from check_source(schema, field, source)
        if isinstance(contribution, Script) and field == "arguments" and any(is_secret(schema, path) for path in _paths(source)):
            yield Finding(
                rule="X004",
                field=field,
                message="A secret cannot be an argument: it would show in the process list.",
                remedy="Use environment.",
            )


def check_source(
    schema: Mapping[str, object] | None, field: str, source: str, variables: frozenset[str] = VARIABLES
) -> Iterable[Finding]:
    """One expression: its syntax, its variables and the settings that it reads.

    Args:
        schema: of the plugin's settings.
        field: where the expression stands.
        source: its text.
        variables: those that there are in this place.
    """
    try:
        program = compile_expression(source)
    except ExpressionError as error:
        yield Finding(rule="X001", field=field, message=f"{error}.", remedy="Write it in CEL; see the page on expressions.")
        return
    bound = set(_BOUND.findall(source))
    for name in sorted(program.variables - variables - bound):
        message = f"{source!r} uses {name}, which expressions do not have here."
        remedy = f"{did_you_mean(name, variables)}There are {', '.join(sorted(variables))}."
        yield Finding(rule="X002", field=field, message=message, remedy=remedy)
    for path in sorted(program.paths()):
        name, *rest = path.split(".")
        if name not in variables or name in bound:
            continue
        if name == "public" and rest and not is_public(schema, rest):
            message = f"{source!r} reads public.{'.'.join(rest)}, but no setting has such a public part."
            parts = ", ".join(f"{part} of {maker}" for maker, names in PUBLIC_PARTS.items() for part in names)
            yield Finding(rule="X003", field=field, message=message, remedy=f"There are: {parts}.")
        if name == "settings" and rest and find_setting(schema, rest) is None:
            wrong, known = ".".join(rest), names_beside(schema, rest)
            message = f"{source!r} reads settings.{wrong}, which the settings do not have."
            there = f"There are: {', '.join(known)}." if known else "Add it to the settings."
            yield Finding(rule="X003", field=field, message=message, remedy=f"{did_you_mean(wrong, known)}{there}")


def _paths(source: str) -> Iterable[str]:
    try:
        return compile_expression(source).paths()
    except ExpressionError:
        return ()  # told already


def _values(contribution: Contribution) -> Iterable[tuple[str, object]]:
    for field in _VALUE_FIELDS:
        if hasattr(contribution, field):
            yield field, getattr(contribution, field)
    for place, holder in (
        ("", contribution),
        *((f"{name}.", getattr(contribution, name, None)) for name in ("replace", "extend")),
    ):
        for field in ("environment", "parameters"):
            values = getattr(holder, field, None)
            for name, value in values.items() if isinstance(values, Mapping) else ():
                yield f"{place}{field}.{name}", value
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
