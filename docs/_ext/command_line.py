# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The reference of the command line, written from the commands themselves."""

from __future__ import annotations

import importlib

import click

ROOTS = {"stoker": ("stoker.cli.main", "stoker"), "stoker-plugin": ("stoker_sdk.cli", "main")}


def page(program: str) -> str:
    """A section for each command, with its help as the terminal shows it."""
    module, name = ROOTS[program]
    command = getattr(importlib.import_module(module), name)
    if not isinstance(command, click.Command):
        command = next(value for value in vars(importlib.import_module(module)).values() if isinstance(value, click.Group))
    return "\n".join(_sections(command, program, None, 2))


def _sections(command: click.Command, name: str, parent: click.Context | None, depth: int) -> list[str]:
    context = click.Context(command, parent=parent, info_name=name, terminal_width=100, max_content_width=100)
    path = context.command_path
    lines = [f"{'#' * min(depth, 4)} {path}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            if child is not None and not child.hidden:
                lines += _sections(child, child_name, context, min(depth + 1, 4))
    return lines
