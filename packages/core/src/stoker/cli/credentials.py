# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker credentials``: the keys with which nodes are reached."""

from __future__ import annotations

from typing import TextIO

import click

from stoker.cli import complete, output
from stoker.cli.lazy import Group
from stoker.cli.session import connect


@click.group(cls=Group)
def credentials() -> None:
    """Keys with which nodes are reached; private halves are stored encrypted and never shown."""


@credentials.command()
@click.argument("name")
@click.option(
    "--private-key",
    metavar="FILE",
    type=click.File("r"),
    help="An OpenSSH private key ('-' for standard input); without it one is made.",
)
@output.json_option
def add(name: str, private_key: TextIO | None, as_json: bool) -> None:
    """Keep a private key, or make one, and print its public half for the nodes' authorized_keys.

    Examples:
      stoker credentials add default >> authorized_keys
      stoker credentials add site --private-key ~/.ssh/id_ed25519
    """
    made = connect().add_credential(name, private_key.read() if private_key else None)
    if as_json:
        output.write_json(made)
    else:
        output.say(made["public_key"].strip())


@credentials.command("list")
@output.json_option
def list_credentials(as_json: bool) -> None:
    """List the keys, public halves only.

    Examples:
      stoker credentials list
    """
    found = connect().credentials()
    if as_json:
        output.write_items(found)
        return
    rows = [
        (credential["name"], credential.get("public_key", "").strip(), output.when(credential.get("created_at")))
        for credential in found
    ]
    output.table(("NAME", "PUBLIC KEY", "MADE"), rows, empty="No keys. Make one with 'stoker credentials add NAME'.")


@credentials.command()
@click.argument("name", shell_complete=complete.credentials)
@output.json_option
def remove(name: str, as_json: bool) -> None:
    """Delete a key that no node uses.

    Examples:
      stoker credentials remove default
    """
    connect().remove_credential(name)
    output.answer({"name": name, "removed": True}, f"removed {name}", as_json)
