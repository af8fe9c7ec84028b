# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker components``: list, check."""

from __future__ import annotations

import click

from stoker.cli import complete, output
from stoker.cli.lazy import Group
from stoker.cli.session import connect

_release = click.option("--release", default="", shell_complete=complete.releases, help="What is offered for this release alone.")


@click.group(cls=Group)
def components() -> None:
    """What can be chosen when an environment is made."""


@components.command("list")
@_release
@output.json_option
def list_components(release: str, as_json: bool) -> None:
    """List the components that installed plugins offer.

    Examples:
      stoker components list
      stoker components list --release web-cluster-debian12 --json
    """
    found = connect().components(release)
    if as_json:
        output.write_json(found)
        return
    how = {group["name"]: group["choose"] for group in found["groups"]}
    output.table(
        ("COMPONENT", "TITLE", "OF ITS GROUP", "REQUIRES", "CONFLICTS", "PLUGIN"),
        [
            (
                f"{item['name']}{' (default)' if item['default'] else ''}",
                item["title"],
                how.get(item["group"], "any"),
                ", ".join(item["requires"]),
                ", ".join(item["conflicts"]),
                f"{item['plugin']} {item['plugin_version']}",
            )
            for item in found["items"]
        ],
        empty="No installed plugin offers components.",
    )


@components.command()
@click.argument("chosen", metavar="COMPONENT...", nargs=-1, shell_complete=complete.components)
@_release
@output.json_option
def check(chosen: tuple[str, ...], release: str, as_json: bool) -> int:
    """Say what follows from choosing some components; exit status 1 if they cannot be chosen together.

    Examples:
      stoker components check time:ntp
      stoker components check storage:local network:fast --release web-cluster-debian12
    """
    found = connect().choice(chosen, release)
    if as_json:
        output.write_json(found)
        return int(bool(found["contradiction"]))
    if found["contradiction"]:
        output.say("These components cannot be chosen together:")
        for reason in found["contradiction"]:
            output.say(f"  {reason}")
        return 1
    rows = [(name, "chosen", "") for name in found["chosen"]]
    rows += [(item["name"], "comes along", " ".join(item["reasons"])) for item in found["implied"]]
    rows += [(name, "possible", "") for name in found["possible"]]
    rows += [(item["name"], "impossible", " ".join(item["reasons"])) for item in found["impossible"]]
    output.table(("COMPONENT", "STATE", "WHY"), rows, empty="No installed plugin offers components.")
    for item in found["open"]:
        output.say(f"still to choose: {item['group']} ({', '.join(item['candidates'])})")
    plugins = [f"{item['name']} {item['version']}" for item in found["plugins"]]
    output.say(f"plugins: {', '.join(plugins) or 'none'}")
    return 0
