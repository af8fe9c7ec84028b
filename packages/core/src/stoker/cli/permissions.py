# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plugins permissions``: what plugins let people do, and whether the caller may."""

from __future__ import annotations

import click

from stoker.cli import complete, output
from stoker.cli.lazy import Command
from stoker.cli.session import connect


@click.command(cls=Command)
@click.argument("plugin", metavar="[NAME]", default="", shell_complete=complete.plugins)
@output.json_option
def permissions(plugin: str, as_json: bool) -> None:
    """List what plugins let people do beyond access levels, and whether you may.

    Examples:
      stoker plugins permissions
      stoker plugins permissions inventory --json
    """
    found = connect().permissions(plugin)
    if as_json:
        output.write_items(found)
        return
    rows = [
        (item["name"], item["version"], item["access"], _granted(item["granted"], item["environments"]), item["title"])
        for item in found
    ]
    output.table(("PERMISSION", "VERSION", "FROM ACCESS", "YOURS", "ALLOWS"), rows, empty="No plugin brings a permission.")


def _granted(granted: bool, environments: list[str] | None) -> str:
    """Whether the caller has a permission, and where."""
    return "no" if not granted else "yes" if environments is None else f"in {', '.join(environments) or 'no environment'}"
