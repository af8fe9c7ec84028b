# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A group of commands that imports a command's module only when the command is used, so that ``--help`` is quick."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import NamedTuple, Protocol, cast

import click
from click.shell_completion import CompletionItem

PLUGIN_GROUP = "stoker.cli"
"""The entry-point group through which other distributions add commands, e.g. ``stoker lab``."""


class Command(click.Command):
    """A command whose docstring may end with ``Examples:``, which the help shows line by line."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the text, then the examples as they are."""
        text, separator, examples = (self.help or "").partition("Examples:\n")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(inspect.cleandoc(text).strip())
        if separator:
            with formatter.section("Examples"):
                for line in examples.strip().splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


class Lazy(NamedTuple):
    """Where a command is, and what the help says of it."""

    module: str
    attribute: str
    help: str


class PluginGroups(Protocol):
    """Groups of commands that plugins bring."""

    def seen(self) -> dict[str, str]:
        """The names of those that are known without asking anybody, with a line of help."""
        ...

    def get(self, name: str) -> click.Group | None:
        """The group of a plugin; ``None`` if it brings none."""
        ...


class LazyGroup(click.Group):
    """Commands named in a table, and further ones from entry points."""

    def __init__(
        self,
        *args: object,
        table: Mapping[str, Lazy],
        entry_points: bool = False,
        plugins: Callable[[click.Context], PluginGroups] | None = None,
        **kwargs: object,
    ) -> None:
        """Take click's own arguments, the table of commands, and where those of plugins are."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # handed through to click as they are
        self._table = dict(table)
        self._entry_points = entry_points
        self._plugins = plugins
        self._added: dict[str, metadata.EntryPoint] | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the table's order, then those of other distributions."""
        return [*self._table, *sorted(set(self._others()) - set(self._table))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name in self._table:
            entry = self._table[cmd_name]
            return cast("click.Command", getattr(importlib.import_module(entry.module), entry.attribute))
        other = self._others().get(cmd_name)
        if other is not None:
            return cast("click.Command", other.load())
        return self._plugins(ctx).get(cmd_name) if self._plugins is not None else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing anything."""
        rows = [(name, self._help(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if seen := self._of_plugins(ctx):
            with formatter.section("Commands of plugins"):
                formatter.write_dl(list(seen.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing anything."""
        words = {name: self._help(name) for name in self.list_commands(ctx)} | self._of_plugins(ctx)
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=text) for name, text in words.items() if name.startswith(incomplete)] + options

    def _of_plugins(self, ctx: click.Context) -> dict[str, str]:
        return self._plugins(ctx).seen() if self._plugins is not None else {}

    def _others(self) -> dict[str, metadata.EntryPoint]:
        if self._added is None:
            found = metadata.entry_points(group=PLUGIN_GROUP) if self._entry_points else ()
            self._added = {point.name: point for point in found}
        return self._added

    def _help(self, name: str) -> str:
        if name in self._table:
            return self._table[name].help
        distribution = self._others()[name].dist
        return f"{distribution.metadata.json.get('summary', distribution.name)}." if distribution is not None else ""
