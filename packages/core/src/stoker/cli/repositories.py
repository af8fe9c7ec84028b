# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker repositories``: the package repositories that plugins carry, and the key that signs them."""

from __future__ import annotations

import click

from stoker.cli import asking, output
from stoker.cli.lazy import Group
from stoker.cli.session import connect


@click.group(cls=Group)
def repositories() -> None:
    """Package repositories of installed plugins, and the key that signs them."""


@repositories.command("list")
@output.json_option
def list_repositories(as_json: bool) -> None:
    """List the package repositories of all installed plugins.

    Examples:
      stoker repositories list
      stoker repositories list --json
    """
    found = connect().repositories()
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            item["plugin"],
            item["version"],
            item.get("os_family", ""),
            ", ".join(f"{package['name']} {package['version']}" for package in item.get("packages", [])),
            item.get("address", ""),
        )
        for item in found
    ]
    output.table(
        ("PLUGIN", "VERSION", "FAMILY", "PACKAGES", "ADDRESS"),
        rows,
        empty="No installed plugin carries a package repository.",
    )


@repositories.command()
@output.json_option
def key(as_json: bool) -> None:
    """Print the public key that signs every package repository of this server.

    Examples:
      stoker repositories key > stoker.asc
      stoker repositories key --json
    """
    found = connect().repository_key()
    output.answer(found, found["public_key"].rstrip("\n"), as_json)


@repositories.command("renew-key")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@output.json_option
def renew_key(yes: bool, as_json: bool) -> None:
    """Sign every package repository with a new key.

    Plans that were made before are outdated. Nodes get the key with their environment's next deployment.

    Examples:
      stoker repositories renew-key
      stoker repositories renew-key --yes --json
    """
    if not yes:
        asking.needs_terminal("renew the key of package repositories", remedy="Add --yes.")
        asking.confirm("Sign every package repository with a new key?")
    found = connect().renew_repository_key()
    output.answer(found, f"the key is {found['fingerprint']} now; make new plans", as_json)
