# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Uses: the expressions that contributions hold, found without evaluating any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from stoker_sdk.errors import ExpressionError
from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.expression import Expression, condition_source
from stoker_sdk.model.program import compile_expression

from stoker.domain.snapshot import PluginInput


def expressions(contribution: Contribution) -> Iterator[tuple[str, str]]:
    """Every expression of a contribution: the field's path and the text."""
    source = condition_source(contribution.when)
    if source is not None:
        yield "when", source
    for name in contribution.__struct_fields__:
        if name != "when" and not isinstance(contribution, Settings):
            yield from _inside(getattr(contribution, name), name)


def _inside(value: object, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Expression):
        yield place, value.source
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _inside(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _inside(item, f"{place}[{index}]")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _inside(getattr(value, name), f"{place}.{name}")


def names_primary(plugin: PluginInput, contributions: Sequence[Contribution]) -> bool:
    """Whether an expression or template of a plugin asks for the one node of a role."""
    if any("primary" in source for source in plugin.templates.values()):
        return True
    return any(
        "primary" in source and _has_variable(source, "primary")
        for contribution in contributions
        for _, source in expressions(contribution)
    )


def _has_variable(source: str, name: str) -> bool:
    try:
        return name in compile_expression(source).variables
    except ExpressionError:
        return False  # told where expressions are checked
