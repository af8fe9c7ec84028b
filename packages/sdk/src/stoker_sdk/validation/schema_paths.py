# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Schema paths: what the settings' schema says of a dotted path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker_sdk.extension_points.settings import Settings
from stoker_sdk.model.generator import PUBLIC_PARTS
from stoker_sdk.plugin import Plugin


def settings_schema(plugin: Plugin) -> Mapping[str, object] | None:
    """The schema of a plugin's settings, or ``None`` if it has none."""
    return next((item.json_schema for item in plugin.contributions if isinstance(item, Settings)), None)


def find_setting(schema: Mapping[str, object] | None, path: Sequence[str]) -> object:
    """The schema of a setting, as far as it says; what an open object holds is allowed. ``None``: there is no such setting."""
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


def names_beside(schema: Mapping[str, object] | None, path: Sequence[str]) -> list[str]:
    """The settings that are there where a path leads astray, as dotted paths."""
    for length in range(len(path) - 1, -1, -1):
        place = find_setting(schema, path[:length])
        if isinstance(place, Mapping) and isinstance(properties := place.get("properties"), Mapping):
            return sorted(".".join([*path[:length], str(name)]) for name in properties)
    return []


def is_public(schema: Mapping[str, object] | None, path: Sequence[str]) -> bool:
    """Whether a path under ``public`` is a part of a pair that a generator makes."""
    found = find_setting(schema, path[:-1])
    how = found.get("x-secret") if isinstance(found, Mapping) else None
    return isinstance(how, Mapping) and path[-1] in PUBLIC_PARTS.get(str(how.get("generator")), ())


def is_secret(schema: Mapping[str, object] | None, path: str) -> bool:
    """Whether a path such as ``settings.key`` is a secret."""
    name, *rest = path.split(".")
    found = find_setting(schema, rest) if name == "settings" else None
    return isinstance(found, Mapping) and "x-secret" in found
