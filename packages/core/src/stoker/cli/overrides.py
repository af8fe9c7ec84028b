# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env override``: set, unset, list the operator's own values in files."""

from __future__ import annotations

import json
import re

import click
import yaml

from stoker.cli import complete, output
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.errors import InvalidInputError

_QUOTES = ("'", '"')
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]*[1-9]")
"""Not ``1.0``: a version would lose its zero."""

_environment = click.argument("environment", metavar="ENV", shell_complete=complete.environments)
_section = click.argument("section", metavar="SECTION")
_roles = click.option(
    "--role", "roles", metavar="ROLE", multiple=True, shell_complete=complete.roles, help="Only on its nodes. May be repeated."
)


@click.group(cls=Group)
def override() -> None:
    """The operator's own values in files: they beat those of all plugins, and every plan says so."""


@override.command("set")
@_environment
@click.argument("file", metavar="FILE", shell_complete=complete.planned_files)
@_section
@click.argument("key", metavar="KEY")
@click.argument("value", metavar="VALUE")
@_roles
@click.option("--text", is_flag=True, help="Take VALUE as it is, and not as YAML.")
@output.json_option
def set_override(
    environment: str, file: str, section: str, key: str, value: str, roles: tuple[str, ...], text: bool, as_json: bool
) -> None:
    """Let KEY in SECTION of FILE be VALUE, whatever plugins give; '-' is the top of the file.

    VALUE is read as YAML: a number, true, [a, b] for a whole list, null to leave the option out. Never give a secret: everybody
    who may look at the environment can read overrides.

    Examples:
      stoker env override set lab /etc/chrony/chrony.conf - makestep '1.0 3'
      stoker env override set lab /etc/app.ini DEFAULT workers 8 --role web
    """
    section = _named(section)
    found = connect().set_override(
        environment, path=file, section=section, key=key, value=value if text else read_value(value), roles=list(roles) or ["*"]
    )
    told = f"{_place(file, section, key)} is {_shown(found.get('value'))} in {environment}, whatever plugins say"
    output.answer(found, f"{told}; 'stoker plan create {environment}' shows what that means", as_json)


@override.command("unset")
@_environment
@click.argument("file", metavar="FILE", shell_complete=complete.overridden_files)
@_section
@click.argument("key", metavar="KEY")
@_roles
@output.json_option
def unset_override(environment: str, file: str, section: str, key: str, roles: tuple[str, ...], as_json: bool) -> None:
    """Take an override back, so that the plugins' values count again.

    Examples:
      stoker env override unset lab /etc/chrony/chrony.conf - makestep
    """
    section = _named(section)
    found = connect().unset_override(environment, path=file, section=section, key=key, roles=list(roles) or ["*"])
    output.answer(found, f"{_place(file, section, key)} is again what plugins say in {environment}", as_json)


@override.command("list")
@_environment
@output.json_option
def list_overrides(environment: str, as_json: bool) -> None:
    """List an environment's overrides.

    Examples:
      stoker env override list lab
    """
    found = connect().overrides(environment)
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            item["path"],
            item.get("section") or "-",
            item["key"],
            _shown(item.get("value")),
            ", ".join(item.get("roles") or []),
            item.get("by"),
            output.when(item.get("at")),
        )
        for item in found
    ]
    empty = f"No overrides. Give one with 'stoker env override set {environment} FILE SECTION KEY VALUE'."
    output.table(("FILE", "SECTION", "KEY", "VALUE", "ROLES", "BY", "SINCE"), rows, empty=empty)


def read_value(text: str) -> object:
    """A value as the command line gives it: YAML, where only plain numbers, ``true``, ``false`` and ``null`` are no texts.

    What old YAML makes of ``on``, ``0644`` or ``12:30``, no configuration file means.

    Raises:
        InvalidInputError: it is no scalar and no list of scalars.
    """
    try:
        value = yaml.load(text, yaml.BaseLoader)  # noqa: S506  it makes texts, lists and maps, and nothing else
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInputError(f"{text!r} is not a YAML value: {error}.", remedy="Quote it, or add --text.") from error
    if isinstance(value, str) or value is None:
        return (value or "") if text.lstrip()[:1] in _QUOTES else _scalar(text.strip())
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [_scalar(item) for item in value]
    raise InvalidInputError(f"{text!r} is neither one value nor a list of values.", remedy="Give such a value, or add --text.")


def _scalar(text: str) -> object:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _named(section: str) -> str:
    return "" if section == "-" else section


def _place(path: str, section: str, key: str) -> str:
    return f"{path} [{section}] {key}" if section else f"{path} {key}"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
