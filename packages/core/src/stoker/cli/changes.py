# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env watch`` and ``stoker nodes watch``: what changes, as it happens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from stoker.cli import complete, output, upgrade_progress
from stoker.cli.lazy import Command
from stoker.cli.problems import printable
from stoker.cli.session import connect

if TYPE_CHECKING:
    from stoker.client.fleet_documents import ChangeDocument
    from stoker.errors import StokerError

_KINDS = ("node", "environment", "plugin", "plan", "deployment", "job")
_COLOURS = {"added": "green", "removed": "red", "failed": "red"}


@click.command("watch", cls=Command)
@click.argument("environment", metavar="ENV", shell_complete=complete.environments)
@click.option("--kind", "kinds", type=click.Choice(_KINDS), multiple=True, help="Only these. May be repeated.")
@click.option("--after", type=click.IntRange(0), metavar="ID", help="Begin after this change [from now on].")
@output.json_option
def watch_environment(environment: str, kinds: tuple[str, ...], after: int | None, as_json: bool) -> int:
    """Show what changes in an environment until Ctrl-C: nodes, plans and how far they are, deployments, jobs.

    Examples:
      stoker env watch lab
      stoker env watch lab --kind plan --kind deployment --json
    """
    return _watch(environment, kinds, after, as_json)


@click.command("watch", cls=Command)
@click.option(
    "--env",
    "environment",
    metavar="ENV",
    default="",
    shell_complete=complete.environments,
    help="Only those of this environment.",
)
@click.option("--after", type=click.IntRange(0), metavar="ID", help="Begin after this change [from now on].")
@output.json_option
def watch_nodes(environment: str, after: int | None, as_json: bool) -> int:
    """Show what changes of nodes until Ctrl-C: status, facts, roles.

    Examples:
      stoker nodes watch
      stoker nodes watch --env lab --json
    """
    return _watch(environment, ("node",), after, as_json)


def _watch(environment: str, kinds: Sequence[str], after: int | None, as_json: bool) -> int:
    try:
        for change in connect().changes(environment=environment, kinds=kinds, after=after, tell=_tell_connection):
            if as_json:
                click.echo(msgspec.json.encode(change).decode())
            else:
                output.say(told(change), _COLOURS.get(change.get("phase") or change.get("action", ""), ""))
    except KeyboardInterrupt:
        return 130
    return 0


def _tell_connection(lost: StokerError | None) -> None:
    text = "the server is back." if lost is None else f"lost the server; trying again ... ({lost.detail})"
    click.echo(printable(text), err=True)


def told(change: ChangeDocument) -> str:
    """A change in a line."""
    if change.get("kind") == "gap":
        return "changes that were not seen are no longer kept: look at the lists anew"
    clock = time.strftime("%H:%M:%S", time.localtime(change.get("at", 0.0)))
    where = f" in {change['environment']}" if change.get("environment") and change.get("kind") != "environment" else ""
    return f"{clock}  {change.get('kind')} {change.get('object')}{where}: {_what(change)}"


def _what(change: ChangeDocument) -> str:
    if change.get("kind") == "job":
        return _job(change)
    if change.get("kind") == "plugin" and change.get("action") == "progress":
        return upgrade_progress.line(change)
    if change.get("action") == "progress":
        count = f", {change.get('looked_at', 0)} of {change['nodes']} nodes" if "nodes" in change else ""
        end = change.get("plan") or change.get("reason") or ""
        return f"{change.get('phase')}{count}{f' ({end})' if end else ''}"
    details = [change[key] for key in ("what", "status", "state", "version") if change.get(key)]
    details += [f"gets {change['gets']}"] if change.get("gets") else []
    details += [f"loses {change['loses']}"] if change.get("loses") else []
    details += [f"revision {change['revision']}"] if change.get("kind") == "environment" and "revision" in change else []
    shown = ", ".join(map(str, details))
    return f"{change.get('action')}{f' ({shown})' if shown else ''}"


def _job(change: ChangeDocument) -> str:
    fraction = change.get("progress") or 0.0
    far = f", {fraction:.0%}" if 0 < fraction < 1 else ""
    message = f": {change['message']}" if change.get("message") else ""
    return f"{change.get('state')}{f' on {on}' if (on := change.get('on')) else ''}{far}{message}"
