# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker PLUGIN NAME``: commands that plugins bring, made of what the server says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stoker.cli import complete, output
from stoker.cli.lazy import Command
from stoker.cli.problems import printable
from stoker.cli.session import connect

if TYPE_CHECKING:
    from stoker.client.commands import CommandDocument, ParameterDocument, PluginCommandsDocument

_TYPES: dict[str, click.ParamType[Any]] = {"text": click.STRING, "integer": click.INT, "number": click.FLOAT}
_PLACE = re.compile(r"\{([a-z][a-z0-9-]*)\}")


def group_of(plugin: PluginCommandsDocument) -> click.Group:
    """The group of a plugin's commands."""
    made = click.Group(
        name=plugin["plugin"], help=printable(f"{plugin['title']} (plugin {plugin['plugin']} {plugin['version']}).")
    )
    for document in plugin["commands"]:
        made.add_command(_command(plugin["plugin"], document))
    return made


def _command(plugin: str, document: CommandDocument) -> click.Command:
    places = set(_PLACE.findall(document["path"]))

    def call(environment: str, as_json: bool, **given: object) -> None:
        named = {item["name"]: given[_python(item)] for item in document["parameters"]}
        words = {name: str(value) for name, value in named.items() if name in places}
        rest = {name: value for name, value in named.items() if name not in places and value not in (None, (), False)}
        answer = connect().carry_out(plugin, document, words, rest, environment=environment)
        show(answer, document["columns"], as_json=as_json)

    examples = "".join(f"  {line}\n" for line in document["examples"])
    return Command(
        name=document["name"],
        callback=call,
        help=printable(f"{document['title']}\n\nExamples:\n{examples}" if examples else document["title"]),
        short_help=printable(document["title"]),
        params=[*map(_parameter, document["parameters"]), *_OURS],
    )


def _python(item: ParameterDocument) -> str:
    return f"given_{item['name'].replace('-', '_')}"


def _parameter(item: ParameterDocument) -> click.Parameter:
    kind = click.Choice(item["choices"]) if item["choices"] else _TYPES[item["type"]]
    if item["kind"] == "argument":
        count = -1 if item["multiple"] else 1
        return click.Argument([_python(item)], type=kind, required=item["required"], nargs=count, metavar=item["name"].upper())
    if item["kind"] == "flag":
        return click.Option([f"--{item['name']}", _python(item)], is_flag=True, help=printable(item["help"]))
    names = [f"--{item['name']}", _python(item)]
    return click.Option(names, type=kind, required=item["required"], multiple=item["multiple"], help=printable(item["help"]))


def _ours(environment: str, as_json: bool) -> None:
    """Carries the options that every command of a plugin has."""


_OURS: Sequence[click.Parameter] = click.command()(
    click.option(
        "--env",
        "environment",
        metavar="ENV",
        envvar="STOKER_ENV",
        default="",
        shell_complete=complete.environments,
        help="Let this environment's version of the plugin answer, about this environment.",
    )(output.json_option(_ours))
).params


def show(answer: Any, columns: Sequence[str], *, as_json: bool) -> None:  # noqa: ANN401  any JSON value
    """A list of objects as a table, an object as lines, anything else as it is."""
    if as_json:
        output.write_json(answer)
        return
    items = answer["items"] if isinstance(answer, dict) and isinstance(answer.get("items"), list) else answer
    if isinstance(items, list):
        rows = [item if isinstance(item, dict) else {"value": item} for item in items]
        names = list(columns) or list(dict.fromkeys(key for row in rows for key in row))
        output.table(
            [name.upper() for name in names], [[_cell(row.get(name)) for name in names] for row in rows], empty="Nothing."
        )
    elif isinstance(answer, dict):
        output.pairs([(name, _cell(answer.get(name))) for name in (list(columns) or answer)])
    elif answer is not None:
        output.say(_cell(answer))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
