# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Commands that plugins add to the command line, as the server's default versions bring them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from sqlalchemy import select
from stoker_sdk.extension_points.commands import Command
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.plugin import Plugin

from stoker.db import tables
from stoker.db.plugins import default_versions
from stoker.domain.command_names import CORE_COMMANDS
from stoker.errors import ConflictError
from stoker.services.context import ServerContext
from stoker.services.server_scope import contributions_of


class ParameterView(msgspec.Struct, frozen=True, kw_only=True):
    """One word or option of a command."""

    name: str
    kind: Literal["argument", "option", "flag"]
    type: Literal["text", "integer", "number"]
    required: bool
    multiple: bool
    help: str
    choices: list[str]


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    """A command ``stoker PLUGIN NAME``."""

    name: str
    title: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """In the plugin's application; ``{NAME}`` stands for an argument."""
    parameters: list[ParameterView]
    columns: list[str]
    """Of a table; empty: all."""
    examples: list[str]


class PluginCommands(msgspec.Struct, frozen=True, kw_only=True):
    """The commands of one plugin."""

    plugin: str
    version: str
    title: str
    commands: list[CommandView]


def list_all(context: ServerContext) -> list[PluginCommands]:
    """The commands of the default version of each plugin that has some, by name."""
    table = tables.plugins
    with context.database.read() as connection:
        defaults = default_versions(connection)
        rows = connection.execute(select(table.c.name, table.c.version, table.c.title, table.c.manifest).order_by(table.c.name))
        found = [row for row in rows if defaults.get(row.name) == row.version]
    views = [view_of(row.name, row.version, row.title, contributions_of(row.manifest)) for row in found]
    return [view for view in views if view.commands]


def view_of(plugin: str, version: str, title: str, contributions: Iterable[Contribution]) -> PluginCommands:
    """The commands among a plugin's contributions."""
    commands = [_view(item) for item in contributions if isinstance(item, Command)]
    return PluginCommands(plugin=plugin, version=version, title=title, commands=commands)


def _view(command: Command) -> CommandView:
    return CommandView(
        name=command.name,
        title=command.title,
        method=command.method,
        path=command.path,
        parameters=[
            ParameterView(
                name=item.name,
                kind=item.kind,
                type=item.type,
                required=item.required,
                multiple=item.multiple,
                help=item.help,
                choices=list(item.choices),
            )
            for item in command.parameters
        ],
        columns=list(command.columns),
        examples=list(command.examples),
    )


def refuse_core_names(plugin: Plugin) -> None:
    """Refuse a plugin whose commands would stand where one of the core's own does.

    Raises:
        ConflictError: the plugin is called like a command of the core.
    """
    if plugin.name in CORE_COMMANDS and any(isinstance(item, Command) for item in plugin.contributions):
        raise ConflictError(
            f"plugin {plugin.name} {plugin.version} is refused: its commands would be 'stoker {plugin.name} ...', which is a "
            "command of the core.",
            remedy="Its author gives the plugin another name, or leaves its commands out.",
        )
