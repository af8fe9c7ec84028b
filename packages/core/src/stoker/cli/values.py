# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Settings on the command line: ``KEY=VALUE``, files, secrets from the terminal, standard input or files."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import yaml

from stoker.cli.settings_schema import Schema, find, is_secret, is_text, secrets_given
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


def apply(settings: Mapping[str, object], assignments: Iterable[str], schema: Schema | None = None) -> Settings:
    """Settings with ``KEY=VALUE`` on top; a dotted key reaches into groups; a text field takes its value as it is.

    Raises:
        InvalidInputError: an assignment cannot be read, or gives a secret, which others could then read.
    """
    result = copy.deepcopy(dict(settings))
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise InvalidInputError(
                f"--set {assignment} has no '='.", remedy="Write --set KEY=VALUE, e.g. --set 'servers=[10.0.0.1]'."
            )
        field = find(schema, key) if schema is not None else None
        value = _value(key, text, as_it_is=is_text(field) or (field is not None and is_secret(field)))
        for place in secrets_given(schema or {}, field, value, key):
            raise InvalidInputError(
                f"--set {key}: {place} is a secret, and would stand in the shell's history and in the list of processes.",
                remedy=f"Give it with --secret {place} (asked for, or a line of standard input) or --secret-file {place}=FILE.",
            )
        _put(result, key, value)
    return result


def without(settings: Mapping[str, object], keys: Iterable[str]) -> Settings:
    """Settings with some keys left out, so that their defaults count again."""
    result = copy.deepcopy(dict(settings))
    for key in keys:
        *parents, last = key.split(".")
        holder: object = result
        for part in parents:
            holder = _inside(holder, part)
        if not isinstance(holder, dict) or last not in holder:
            raise InvalidInputError(f"setting {key} is not set.", remedy="'stoker env settings ENV PLUGIN' shows what is.")
        del holder[last]
    return result


def with_secrets(settings: Mapping[str, object], keys: Iterable[str], files: Iterable[str]) -> Settings:
    """Settings with secrets on top: asked for without showing them (or a line of standard input each), or from KEY=FILE."""
    result = copy.deepcopy(dict(settings))
    _ask(result, keys)
    _read(result, files)
    return result


def _ask(settings: Settings, keys: Iterable[str]) -> None:
    for key in keys:
        if sys.stdin.isatty():
            value = click.prompt(key, hide_input=True, confirmation_prompt=True, err=True)
        else:
            value = sys.stdin.readline().rstrip("\n")
        if not value:
            raise InvalidInputError(
                f"no value was given for the secret {key}.", remedy="Type it, or pipe it in: one line for each --secret."
            )
        _put(settings, key, value)


def _read(settings: Settings, assignments: Iterable[str]) -> None:
    """Secrets from files: of one line without its end, of several (PEM) as they are."""
    for assignment in assignments:
        key, _, name = assignment.partition("=")
        if not key or not name:
            raise InvalidInputError(
                f"--secret-file {assignment} is not KEY=FILE.", remedy="Write e.g. --secret-file certificate=server.pem."
            )
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
            raise InvalidInputError(
                f"the secret {key} cannot be read from {name}: {reason}.", remedy="Name a text file, e.g. in PEM."
            ) from error
        value = text.rstrip("\r\n") if len(text.splitlines()) == 1 else text
        if not value:
            raise InvalidInputError(
                f"the secret {key} cannot be read from {name}: it is empty.", remedy="Name the file that has it."
            )
        _put(settings, key, value)


def merge(settings: Mapping[str, object], further: Mapping[str, object]) -> Settings:
    """Settings with others on top, object by object."""
    result = dict(settings)
    for key, value in further.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) and "$secret" not in old else value
    return result


def _put(settings: Settings, key: str, value: object) -> None:
    """Set what a dotted key names: groups are made on the way, a number goes to an item that the list has."""
    *parents, last = key.split(".")
    holder: object = settings
    for part in parents:
        inner = holder.setdefault(part, {}) if isinstance(holder, dict) else _inside(holder, part)
        if not isinstance(inner, dict | list) or "$secret" in inner:
            raise InvalidInputError(
                f"setting {key}: there is nothing at {part} that holds further settings.", remedy="Set the whole list or group."
            )
        holder = inner
    if isinstance(holder, dict):
        holder[last] = value
    elif isinstance(holder, list) and last.isdigit() and int(last) < len(holder):
        holder[int(last)] = value
    else:
        raise InvalidInputError(f"setting {key}: the list has no item {last}.", remedy="Set the whole list.")


def _inside(holder: object, part: str) -> object:
    if isinstance(holder, dict):
        return holder.get(part)
    return holder[int(part)] if isinstance(holder, list) and part.isdigit() and int(part) < len(holder) else None


def _value(key: str, text: str, *, as_it_is: bool) -> object:
    if as_it_is:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInputError(
            f"--set {key}: {text!r} is not a YAML value: {error}.", remedy="Quote it, e.g. --set 'name=\"a: b\"'."
        ) from error
