# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""How far a long migration of records is, shown on the terminal while the command waits for its end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from stoker.cli.problems import printable
from stoker.cli.session import connect
from stoker.errors import StokerError

if TYPE_CHECKING:
    from stoker.client import StokerClient


@contextmanager
def shown(environment: str, *, quiet: bool) -> Iterator[None]:
    """Tell in a line of standard error how many records are migrated, where a person looks."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()
    threading.Thread(target=_follow, args=(connect(), environment, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _follow(client: StokerClient, environment: str, ended: threading.Event) -> None:
    # Nothing is wrong with an upgrade because nobody could be told how far it is.
    with suppress(StokerError):
        for change in client.changes(environment=environment, kinds=("plugin",)):
            if ended.is_set():
                return
            if change.get("action") == "progress":
                click.echo(line(change), err=True)


def line(change: object) -> str:
    """A change of kind ``plugin`` and action ``progress`` in words."""
    found = change if isinstance(change, dict) else {}
    return printable(f"records {found.get('collection')}: {found.get('migrated')} of {found.get('records')} migrated")
