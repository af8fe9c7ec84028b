# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plugins events``: what plugins are still to be told."""

from __future__ import annotations

import click

from stoker.cli import complete, output
from stoker.cli.lazy import Command
from stoker.cli.session import connect


@click.command(cls=Command)
@click.argument("plugin", required=False, default="", shell_complete=complete.plugins)
@click.option(
    "--env", "environment", metavar="ENV", default="", shell_complete=complete.environments, help="Of this environment only."
)
@output.json_option
def events(plugin: str, environment: str, as_json: bool) -> None:
    """List the events that plugins are still to be told, and what went wrong.

    An event is told again until every handler has heard it; later events of the same object wait for it.

    Examples:
      stoker plugins events
      stoker plugins events inventory --env prod --json
    """
    found = connect().plugin_events(plugin, environment)
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            str(item["id"]),
            output.when(item["at"]),
            item["plugin"],
            item["environment"] or "-",
            item["event"],
            item["object"],
            str(item["attempts"]),
            output.when(item["next_try"]) if item["next_try"] else "now",
            item["reason"],
        )
        for item in found
    ]
    output.table(
        ("ID", "AT", "PLUGIN", "ENV", "EVENT", "OBJECT", "TRIED", "NEXT TRY", "LASTLY"),
        rows,
        empty="Plugins have been told everything.",
    )
