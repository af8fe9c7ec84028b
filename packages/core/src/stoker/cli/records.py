# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker plugins records``: what plugins keep in their own storage."""

from __future__ import annotations

import click

from stoker.cli import asking, complete, output
from stoker.cli.lazy import Command
from stoker.cli.session import connect

_SHOWN = 60


@click.command(cls=Command)
@click.argument("plugin", metavar="NAME", shell_complete=complete.plugins)
@click.argument("collection", required=False, default="", shell_complete=complete.collections)
@click.option(
    "--env",
    "environment",
    metavar="ENV",
    default="",
    shell_complete=complete.environments,
    help="Those of this environment.",
)
@click.option("--purge", is_flag=True, help="Delete the copy that is kept from before the last migration.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@output.json_option
def records(plugin: str, collection: str, environment: str, purge: bool, yes: bool, as_json: bool) -> None:
    """List a plugin's collections of records, or the records of one; with --json they are saved as they are.

    Only the plugin's own code writes records. After a migration to a new version of a collection's schema the copy from before is
    kept for a rollback, until the next migration or --purge.

    Examples:
      stoker plugins records inventory
      stoker plugins records inventory assets --env prod
      stoker plugins records inventory assets --env prod --json > assets.json
      stoker plugins records inventory assets --env prod --purge
    """
    client = connect()
    if purge:
        if not collection:
            raise click.UsageError("--purge needs the name of a collection.")
        where = f"{plugin} {collection}{f' in {environment}' if environment else ''}"
        if not yes:
            asking.needs_terminal("deleting a kept copy", remedy="Add --yes.")
            asking.confirm(f"Delete the copy of {where} from before its last migration? There is no way back then.")
        done = client.purge_kept_records(plugin, collection, environment)
        if as_json:
            output.write_json(done)
        else:
            output.say(f"deleted the copy of {where} from before its last migration")
        return
    if collection:
        _show_records(plugin, collection, environment, as_json=as_json)
        return
    found = [item for item in client.record_collections(plugin) if environment in ("", item["environment"])]
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            item["collection"],
            item["environment"] or "-",
            str(item["documents"]),
            str(item["schema_version"]),
            f"{item['kept_documents']} of schema {item['kept_schema_version']}" if item["kept_schema_version"] else "-",
            "migrating" if item["migrating"] else "",
        )
        for item in found
    ]
    output.table(("COLLECTION", "ENV", "RECORDS", "SCHEMA", "KEPT", "STATE"), rows, empty=f"Plugin {plugin} keeps no records.")


def _show_records(plugin: str, collection: str, environment: str, *, as_json: bool) -> None:
    found = connect().plugin_records(plugin, collection, environment)
    if as_json:
        output.write_items(found)
        return
    rows = []
    for item in found:
        text = output.compact(item["value"])
        rows.append((item["key"], str(item["revision"]), text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."))
    output.table(("KEY", "REVISION", "VALUE"), rows, empty="There are no records.")
