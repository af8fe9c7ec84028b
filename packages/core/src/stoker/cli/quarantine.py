# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plugins quarantine``: hooks that failed too often, and how they are armed again."""

from __future__ import annotations

import click

from stoker.cli import complete, output
from stoker.cli.lazy import Group
from stoker.cli.session import connect

_environment = click.option(
    "--env", "environment", metavar="ENV", default="", shell_complete=complete.environments, help="In this environment only."
)


@click.group(cls=Group)
def quarantine() -> None:
    """Hooks of plugins that failed too often and are skipped for now."""


@quarantine.command("list")
@click.argument("plugin", required=False, default="", shell_complete=complete.plugins)
@_environment
@output.json_option
def list_quarantine(plugin: str, environment: str, as_json: bool) -> None:
    """List the hooks in quarantine: why, since when, and when each is tried again.

    Examples:
      stoker plugins quarantine list
      stoker plugins quarantine list inventory --json
    """
    found = connect().quarantine(plugin, environment)
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            f"{item['plugin']} {item['version']}",
            item["hook"],
            item["environment"] or "-",
            str(item["failures"]),
            output.when(item["since"]),
            output.when(item["next_try"]),
            item["reason"],
        )
        for item in found
    ]
    output.table(
        ("PLUGIN", "HOOK", "ENV", "FAILED", "SINCE", "NEXT TRY", "LASTLY"), rows, empty="No hook of a plugin is in quarantine."
    )


@quarantine.command()
@click.argument("plugin", shell_complete=complete.plugins)
@_environment
@output.json_option
def show(plugin: str, environment: str, as_json: bool) -> None:
    """Show a plugin's hooks in quarantine with the last traceback of each.

    Examples:
      stoker plugins quarantine show inventory
    """
    found = connect().quarantine(plugin, environment)
    if as_json:
        output.write_items(found)
        return
    if not found:
        output.say(f"No hook of plugin {plugin} is in quarantine.")
    for item in found:
        output.say(f"{item['plugin']} {item['version']}: {item['hook']}", "bold")
        output.pairs(
            [
                ("environment", item["environment"]),
                ("failed", f"{item['failures']} times since it last worked"),
                ("since", output.when(item["since"])),
                ("next try", output.when(item["next_try"])),
                ("lastly", item["reason"]),
            ]
        )
        for line in item["traceback"].splitlines():
            output.say(f"  {line}")


@quarantine.command()
@click.argument("plugin", shell_complete=complete.plugins)
@click.option("--hook", metavar="'POINT NAME'", default="", help="This hook only, e.g. 'events node_changed'.")
@_environment
@output.json_option
def rearm(plugin: str, hook: str, environment: str, as_json: bool) -> None:
    """Call a plugin's hooks again as if they had never failed.

    Examples:
      stoker plugins quarantine rearm inventory
      stoker plugins quarantine rearm inventory --hook 'events node_changed' --env prod
    """
    found = connect().rearm(plugin, hook, environment)
    if as_json:
        output.write_items(found)
        return
    for item in found:
        output.say(f"armed again: {item['plugin']} {item['version']} {item['hook']}")
