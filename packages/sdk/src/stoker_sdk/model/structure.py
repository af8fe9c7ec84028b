# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Structure: every way in which plain data does not fit a class, each with its place and what would fit."""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

import msgspec

from stoker_sdk.model.expression import Expression
from stoker_sdk.model.naming import did_you_mean

Type = Any
"""A type as annotations hold it: a class, a union, a generic alias."""

_WORDS: Final[Mapping[object, str]] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    Expression: "an expression {$cel: ...}",
    collections.abc.Sequence: "a list",
    collections.abc.Mapping: "a map",
}


class Fault(NamedTuple):
    """One place that does not fit."""

    field: str
    """The field's path, e.g. ``files[0].mode``; empty for the whole."""
    message: str
    remedy: str


def struct_faults(kind: type[msgspec.Struct], document: Mapping[str, object], place: str = "") -> Iterator[Fault]:
    """All faults of a map that should be a class's fields; none if it fits."""
    tag = kind.__struct_config__.tag_field
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key in document:
        if key not in fields and key != tag:
            remedy = f"{did_you_mean(str(key), fields)}There are: {', '.join(sorted(fields))}."
            yield Fault(_join(place, str(key)), f"there is no field {key!r}.", remedy)
    for name, field in fields.items():
        if name in document:
            yield from value_faults(field.type, document[name], _join(place, name))
        elif field.required:
            yield Fault(place, f"the field {name!r} is missing.", f"Give it: {_takes(field.type)}.")


def value_faults(kind: Type, value: object, place: str) -> Iterator[Fault]:
    """All faults of a value that should be of a type."""
    try:
        msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        found = list(_inner_faults(kind, value, place))
        if found:
            yield from found
        else:
            reason = str(error).partition(" - at ")[0]
            yield Fault(place, f"{reason}.", f"{_meant(kind, value)}It takes {_takes(kind)}.")


def _inner_faults(kind: Type, value: object, place: str) -> Iterator[Fault]:
    members = _members(kind)
    if isinstance(value, Mapping):
        structs = [member for member in members if _is_struct(member)]
        maps = [member for member in members if _origin(member) is collections.abc.Mapping]
        if "$cel" in value and Expression not in structs:
            yield Fault(place, "an expression cannot stand here.", f"It takes {_takes(kind)}.")
        elif structs == [Expression]:
            yield Fault(place, "a map is not a value.", f"It takes {_takes(kind)}.")
        elif len(structs) == 1:
            yield from struct_faults(structs[0], value, place)
        elif maps:
            for key, item in value.items():
                yield from value_faults(get_args(maps[0])[1], item, _join(place, str(key)))
    elif isinstance(value, list | tuple):
        for member in members:
            if _origin(member) is collections.abc.Sequence:
                for index, item in enumerate(value):
                    yield from value_faults(get_args(member)[0], item, f"{place}[{index}]")


def _origin(kind: Type) -> object:
    return get_origin(kind)  # the type checker takes Any for a ParamSpec here, and its answer likewise


def _is_struct(kind: Type) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _members(kind: Type) -> Sequence[Type]:
    if _origin(kind) in (Union, types.UnionType):
        return [inner for member in get_args(kind) for inner in _members(member)]
    return [kind]


def _choices(kind: Type) -> list[str]:
    return [str(choice) for member in _members(kind) if _origin(member) is Literal for choice in get_args(member)]


def _meant(kind: Type, value: object) -> str:
    return did_you_mean(value, _choices(kind)) if isinstance(value, str) else ""


def _takes(kind: Type) -> str:
    """What a type takes, for a person."""
    choices = _choices(kind)
    words = [f"one of {', '.join(choices)}"] if choices else []
    for member in _members(kind):
        if _origin(member) is not Literal:
            word = _WORDS.get(_origin(member) or member, "a map of fields" if _is_struct(member) else str(member))
            if word not in words:
                words.append(word)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
