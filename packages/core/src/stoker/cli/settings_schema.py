# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Looking things up in the JSON Schema of a plugin's settings: which fields there are, which are texts, which are secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

Schema: TypeAlias = Mapping[str, object]

_DEPTH = 24
"""References that refer to each other end here."""


def resolve(root: Schema, field: Schema) -> Schema:
    """A field with its references followed; of an optional field, the branch that is not null."""
    for _ in range(_DEPTH):
        reference, options = field.get("$ref"), field.get("anyOf")
        if isinstance(reference, str) and reference.startswith("#/"):
            field = {**_pointed(root, reference), **{key: value for key, value in field.items() if key != "$ref"}}
        elif isinstance(options, list) and len(filled := [option for option in options if option.get("type") != "null"]) == 1:
            field = {**filled[0], **{key: value for key, value in field.items() if key != "anyOf"}}
        else:
            break
    return field


def _pointed(root: Schema, reference: str) -> Schema:
    target: object = root
    for part in reference.removeprefix("#/").split("/"):
        target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return cast("Schema", target) if isinstance(target, Mapping) else {}


def fields(root: Schema, field: Schema) -> Mapping[str, Schema]:
    """The named fields inside an object, resolved."""
    properties = resolve(root, field).get("properties")
    return {name: resolve(root, inner) for name, inner in properties.items()} if isinstance(properties, Mapping) else {}


def find(root: Schema, key: str) -> Schema | None:
    """The field that a dotted key names; a number goes into a list."""
    part: Schema | None = resolve(root, root)
    for name in key.split("."):
        if part is None:
            return None
        items = part.get("items")
        part = resolve(root, items) if name.isdigit() and isinstance(items, Mapping) else fields(root, part).get(name)
    return part


def is_text(field: Schema | None) -> bool:
    """Whether a field's value is a text, so that 1.10 stays 1.10."""
    return field is not None and field.get("type") == "string"


def is_secret(field: Schema | None) -> bool:
    """Whether a field's value is a secret."""
    return field is not None and field.get("x-secret") not in (None, False)


def secrets_given(root: Schema, field: Schema | None, value: object, place: str) -> Iterator[str]:
    """The places in a value where a secret stands in the clear; an empty one asks for a new one and is none."""
    if field is None:
        return
    field = resolve(root, field)
    if is_secret(field):
        if isinstance(value, str) and value:
            yield place
    elif isinstance(value, dict):
        for name, inner in fields(root, field).items():
            yield from secrets_given(root, inner, value.get(name), f"{place}.{name}")
    elif isinstance(value, list) and isinstance(items := field.get("items"), Mapping):
        for number, item in enumerate(value):
            yield from secrets_given(root, items, item, f"{place}.{number}")


def names(root: Schema, field: Schema | None = None, before: str = "", depth: int = 4) -> Iterator[str]:
    """The dotted names of all settings, groups gone into."""
    for name, inner in fields(root, root if field is None else field).items():
        if depth and fields(root, inner):
            yield from names(root, inner, f"{before}{name}.", depth - 1)
        else:
            yield f"{before}{name}"
