# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a plugin's application says of itself (OpenAPI 3), made into a part of the server's own description."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from stoker.errors import StokerError

Json: TypeAlias = Any
"""JSON that a stranger wrote: what it is shows when it is looked at."""

LARGEST: Final = 2 * 1024 * 1024
MOST_PATHS: Final = 2000
_DEEPEST: Final = 64
_VERSION: Final = re.compile(r"3\.[01]\.\d+")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
_REFERENCE: Final = re.compile(r"#/components/([A-Za-z]+)/([A-Za-z0-9._-]+)")
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_OF_PATHS: Final = ("summary", "description", "parameters")
_KINDS: Final = ("schemas", "responses", "parameters", "examples", "requestBodies", "headers", "links", "pathItems")
_DROPPED: Final = frozenset({"servers", "security", "callbacks"})
"""Where it is and who comes in is for the server to say."""
_OTHER_BASES: Final = frozenset({"$id", "$schema", "$anchor", "$dynamicAnchor", "$dynamicRef"})


class BrokenDescriptionError(StokerError, ValueError):
    """A plugin's description of its application cannot be used."""

    status = 422
    kind = "broken-description"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to the server's description."""

    paths: dict[str, dict[str, Json]] = {}
    components: dict[str, dict[str, Json]] = {}


Access: TypeAlias = Callable[[str, str], str]
"""Who may ask, for a method and a path below the application's address: an access level."""


def part_of(plugin: str, document: bytes, access: Access) -> Part:
    """Make the part: paths below the plugin's address, one tag, components under the plugin's name.

    Raises:
        BrokenDescriptionError: it is no OpenAPI 3 in JSON, is too large, or refers to something else.
    """
    if len(document) > LARGEST:
        raise _broken(f"it has more than {LARGEST} bytes")
    try:
        given = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _broken(f"it is not JSON: {error}") from error
    if not isinstance(given, dict) or not _VERSION.fullmatch(str(given.get("openapi"))):
        raise _broken("it is not OpenAPI 3.0 or 3.1: 'openapi' does not say so")
    _check_depth(given, 0)
    components = _components(plugin, _object(given.get("components", {}), "components"))
    paths = _object(given.get("paths", {}), "paths")
    if len(paths) > MOST_PATHS:
        raise _broken(f"it has more than {MOST_PATHS} paths")
    root = f"/api/plugins/{plugin}"
    found = {
        f"{root}{place}": _path(plugin, place, _object(item, f"paths.{path}"), access)
        for path, item in paths.items()
        for place in (_place(path, root),)
    }
    _check_references({"paths": found, "components": components}, components)
    return Part(paths=found, components=components)


def _broken(what: str) -> BrokenDescriptionError:
    return BrokenDescriptionError(f"its OpenAPI document cannot be used: {what}.", remedy="Tell the plugin's author.")


def _object(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _broken(f"{where[:100]} is not an object")
    return value


def _check_depth(value: Json, depth: int) -> None:
    if depth > _DEEPEST:
        raise _broken(f"it is nested more than {_DEEPEST} times")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


def _place(path: str, root: str) -> str:
    """A path below the application's address, whether or not the document names that, too."""
    place = path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path
    place = place or "/"
    if not place.startswith("/") or "//" in place or ".." in place.split("/") or set(place) & set("?#\\%"):
        raise _broken(f"{path[:100]!r} is not a path below its address")
    return place


def _path(plugin: str, place: str, item: dict[str, Json], access: Access) -> dict[str, Json]:
    made: dict[str, Json] = {name: _renamed(plugin, item[name]) for name in _OF_PATHS if name in item}
    for method in _METHODS:
        if method in item:
            made[method] = _operation(plugin, _object(item[method], f"{method} {place}"), access(method.upper(), place))
    return made


def _operation(plugin: str, given: dict[str, Json], level: str) -> dict[str, Json]:
    made = {name: _renamed(plugin, value) for name, value in given.items() if name not in _DROPPED}
    made["tags"] = [f"plugin {plugin}"]
    if "operationId" in given:
        made["operationId"] = f"{plugin}.{given['operationId']}"
    if not isinstance(given.get("responses"), dict) or not given["responses"]:
        made["responses"] = {"default": {"description": "Not described."}}
    made["x-access"] = level
    description = given.get("description")
    made["description"] = f"{description if isinstance(description, str) else ''}\n\nAccess: {level}.".strip()
    return made


def _components(plugin: str, given: dict[str, Json]) -> dict[str, dict[str, Json]]:
    made: dict[str, dict[str, Json]] = {}
    for kind in _KINDS:
        if kind not in given:
            continue
        for name, value in _object(given[kind], f"components.{kind}").items():
            if not _NAME.fullmatch(name):
                raise _broken(f"components.{kind}: {name[:60]!r} is not a name")
            made.setdefault(kind, {})[f"{plugin}.{name}"] = _renamed(plugin, value)
    return made


def _renamed(plugin: str, value: Json) -> Json:
    """The same with references to its own components by their new names."""
    if isinstance(value, list):
        return [_renamed(plugin, inner) for inner in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Json] = {}
    for name, inner in value.items():
        if name in _OTHER_BASES and isinstance(inner, str):
            continue
        if name == "$ref" and isinstance(inner, str):
            made[name] = _reference(plugin, inner)
        elif name == "mapping" and isinstance(inner, dict) and "propertyName" in value:
            made[name] = {key: _reference(plugin, str(to)) if "/" in str(to) else f"{plugin}.{to}" for key, to in inner.items()}
        else:
            made[name] = _renamed(plugin, inner)
    return made


def _reference(plugin: str, to: str) -> str:
    found = _REFERENCE.fullmatch(to)
    if found is None or found[1] not in _KINDS:
        raise _broken(f"{to[:100]!r} refers to something that is none of its components")
    return f"#/components/{found[1]}/{plugin}.{found[2]}"


def _check_references(value: Json, components: dict[str, dict[str, Json]]) -> None:
    if isinstance(value, list):
        for inner in value:
            _check_references(inner, components)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref" and isinstance(inner, str):
                found = _REFERENCE.fullmatch(inner)
                if found is not None and found[2] not in components.get(found[1], {}):
                    raise _broken(f"there is no {found[1]} {found[2]}")
            else:
                _check_references(inner, components)
