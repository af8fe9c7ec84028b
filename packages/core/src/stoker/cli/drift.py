# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker env drift``: what is on the nodes otherwise than deployments left it."""

from __future__ import annotations

import click

from stoker.cli import choose, complete, output
from stoker.cli.lazy import Command
from stoker.cli.session import connect


@click.command(cls=Command)
@click.argument("environment", metavar="[ENV]", required=False, envvar="STOKER_ENV", shell_complete=complete.environments)
@output.json_option
def drift(environment: str | None, as_json: bool) -> int:
    """Look at the nodes, and say what differs from what was applied. Exits 1 if something does, or a node cannot be looked at.

    Settings that were changed since do not count: 'stoker plan create' shows those.

    Examples:
      stoker env drift lab
    """
    client = connect()
    found = client.drift(choose.environment(client, environment))
    clean = all(node["state"] == "same" for node in found)
    if as_json:
        output.write_items(found)
        return 0 if clean else 1
    for node in found:
        if node["state"] == "unreachable":
            output.say(f"{node['node']}: {node.get('reason', '')}", "red")
        for item in node.get("items") or []:
            output.say(f"{node['node']}  {item['kind']} {item['name']}: {item['what']}", "magenta")
            for line in item.get("diff", "").splitlines()[2:]:
                output.say(f"    {line}", {"+": "green", "-": "red", "@": "bright_black"}.get(line[:1], ""))
    if clean:
        output.say("No drift: every node is as it was deployed.", "green")
    return 0 if clean else 1
