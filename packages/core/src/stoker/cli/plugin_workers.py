# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plugins workers`` and ``stoker plugins logs``: where plugins' code runs, and what it wrote."""

from __future__ import annotations

import click

from stoker.cli import complete, output
from stoker.cli.lazy import Command
from stoker.cli.session import connect


@click.command(cls=Command)
@output.json_option
def workers(as_json: bool) -> None:
    """List the processes in which plugins' code runs now.

    Examples:
      stoker plugins workers
      stoker plugins workers --json
    """
    found = connect().plugin_workers()
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            f"{item['plugin']} {item['version']}",
            "yes" if item["confined"] else "NO",
            item["application"] or "-",
            f"{item['memory_bytes'] / 2**20:.0f} MiB",
            f"{item['cpu_seconds']:.1f} s",
        )
        for item in found
    ]
    output.table(("PLUGIN", "SANDBOX", "APPLICATION", "MEMORY", "CPU"), rows, empty="No plugin's code runs now.")


@click.command(cls=Command)
@click.argument("plugin", shell_complete=complete.plugins)
@output.json_option
def logs(plugin: str, as_json: bool) -> None:
    """Show what a plugin's code wrote on standard output and error lately.

    Examples:
      stoker plugins logs inventory
      stoker plugins logs inventory --json
    """
    found = connect().plugin_log(plugin)
    if as_json:
        output.write_items(found)
        return
    if not found:
        output.say(f"The code of plugin {plugin} wrote nothing since the server started.")
    for item in found:
        output.say(f"{output.when(item['at'])} {item['version']}  {item['text']}")
