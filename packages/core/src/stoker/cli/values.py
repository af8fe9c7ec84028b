# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Settings on the command line: ``key=value``, files, secrets from standard input."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import yaml

from stoker.errors import InvalidInputError

Settings = dict[str, object]


def read_file(path: Path) -> Settings:
    """Settings from a YAML or JSON file."""
    try:
        found = yaml.safe_load(sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(
            f"settings file {path} cannot be read: {error.strerror}.", remedy="Name a YAML or JSON file."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"settings file {path} is not YAML: {error}.", remedy="Write one 'name: value' per line."
        ) from error
    if not isinstance(found, dict):
        raise InvalidInputError(f"settings file {path} does not hold an object.", remedy="Write one 'name: value' per line.")
    return found


def apply(settings: Mapping[str, object], assignments: Iterable[str], schema: Mapping[str, object] | None = None) -> Settings:
    """Settings with ``key=value`` assignments on top; a dotted key reaches into objects, a value is YAML."""
    result = copy.deepcopy(dict(settings))
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise InvalidInputError(
                f"--set {assignment} has no '='.", remedy="Write --set name=value, e.g. --set 'servers=[10.0.0.1]'."
            )
        _put(result, key, _value(key, text, schema))
    return result


def without(settings: Mapping[str, object], keys: Iterable[str]) -> Settings:
    """Settings with some keys left out, so that their defaults count again."""
    result = copy.deepcopy(dict(settings))
    for key in keys:
        *parents, last = key.split(".")
        holder: object = result
        for part in parents:
            holder = holder.get(part) if isinstance(holder, dict) else None
        if not isinstance(holder, dict) or last not in holder:
            raise InvalidInputError(f"setting {key} is not set.", remedy="'stoker env settings ENV PLUGIN' shows what is.")
        del holder[last]
    return result


def read_secrets(keys: Iterable[str]) -> Settings:
    """Ask for each secret without showing it; from standard input one line each if that is not a terminal."""
    result: Settings = {}
    for key in keys:
        if sys.stdin.isatty():
            value = click.prompt(key, hide_input=True, confirmation_prompt=True, err=True)
        else:
            value = sys.stdin.readline().rstrip("\n")
        if not value:
            raise InvalidInputError(
                f"no value was given for the secret {key}.", remedy="Type it, or pipe it in: one line for each --secret."
            )
        _put(result, key, value)
    return result


def merge(settings: Mapping[str, object], further: Mapping[str, object]) -> Settings:
    """Settings with others on top, object by object."""
    result = dict(settings)
    for key, value in further.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) and "$secret" not in old else value
    return result


def _put(settings: Settings, key: str, value: object) -> None:
    *parents, last = key.split(".")
    holder = settings
    for part in parents:
        inner = holder.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InvalidInputError(f"setting {key}: {part} is not an object.", remedy=f"Set {part} as a whole.")
        holder = inner
    holder[last] = value


def _value(key: str, text: str, schema: Mapping[str, object] | None) -> object:
    if _wants_text(key, schema):
        return text
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise InvalidInputError(
            f"--set {key}: {text!r} is not a YAML value: {error}.", remedy="Quote it, e.g. --set 'name=\"a: b\"'."
        ) from error


def _wants_text(key: str, schema: Mapping[str, object] | None) -> bool:
    """Whether the schema says that this setting is a text, so that 1.10 stays 1.10."""
    part: object = schema
    for name in key.split("."):
        properties = part.get("properties") if isinstance(part, dict) else None
        part = properties.get(name) if isinstance(properties, dict) else None
    return isinstance(part, dict) and part.get("type") == "string"
