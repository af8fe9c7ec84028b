# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The options that choose a part of an environment: ``--nodes``, ``--roles`` and ``--tasks``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import click

from stoker.cli import complete

_F = TypeVar("_F", bound=Callable[..., object])


def options(command: _F) -> _F:
    """The three options, alike for all commands that take a part."""
    made = [
        click.option(
            "--nodes", metavar="NODE,...", multiple=True, shell_complete=complete.environment_nodes, help="Only these nodes."
        ),
        click.option(
            "--roles",
            metavar="ROLE,...",
            multiple=True,
            shell_complete=complete.roles,
            help="Only nodes with one of these.",
        ),
        click.option(
            "--tasks",
            metavar="PLUGIN.TASK,...",
            multiple=True,
            shell_complete=complete.planned_tasks,
            help="Only these tasks. What is left out is shown, and done by the next deployment of the whole.",
        ),
    ]
    for option in reversed(made):
        command = option(command)
    return command


def chosen(nodes: Iterable[str], roles: Iterable[str], tasks: Iterable[str]) -> dict[str, list[str]]:
    """The part as the client takes it: names that were joined by commas are taken apart."""
    given = {"nodes": nodes, "roles": roles, "tasks": tasks}
    return {
        name: found for name, texts in given.items() if (found := [word for text in texts for word in text.split(",") if word])
    }
