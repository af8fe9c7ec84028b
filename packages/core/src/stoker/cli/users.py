# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker users``: people who may come in, and what they may do."""

from __future__ import annotations

from typing import TextIO

import click

from stoker.cli import complete, output, secret_input
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.errors import InvalidInputError

LEVELS = click.Choice(["viewer", "operator", "admin"])
ACCESS = "viewer: look; operator: also change and deploy; admin: also plugins, credentials and people."
_password_file = click.option(
    "--password-file", metavar="FILE", type=click.File("r"), help="Take the password from its first line ('-': standard input)."
)


@click.group(cls=Group)
def users() -> None:
    """People who may come in, and what they may do; for admins."""


@users.command()
@click.argument("name")
@click.option("--access", type=LEVELS, default="viewer", show_default=True, help=ACCESS)
@_password_file
@output.json_option
def add(name: str, access: str, password_file: TextIO | None, as_json: bool) -> None:
    """Add a user; the password is asked for.

    Examples:
      stoker users add anna --access operator
      pass show stoker/ci | stoker users add ci --password-file -
    """
    password = secret_input.password(password_file, f"Password of {name}", option="--password-file", twice=True)
    made = connect().add_user(name, password, access)
    output.answer(made, f"added {made['name']} with access {made['access']}", as_json)


@users.command("list")
@output.json_option
def list_users(as_json: bool) -> None:
    """List all users.

    Examples:
      stoker users list
    """
    found = connect().users()
    if as_json:
        output.write_items(found)
        return
    rows = [
        (user["name"], user["access"], "disabled" if user["disabled"] else "", user["tokens"], output.when(user["created_at"]))
        for user in found
    ]
    empty = "No users. Add one with 'stoker users add NAME'."
    output.table(("NAME", "ACCESS", "STATE", "TOKENS", "ADDED"), rows, empty=empty)


@users.command("set")
@click.argument("name", shell_complete=complete.users)
@click.option("--access", type=LEVELS, help=ACCESS)
@click.option("--disable/--enable", "disabled", default=None, help="Keep the user out, tokens too; or let them in again.")
@output.json_option
def set_user(name: str, access: str | None, disabled: bool | None, as_json: bool) -> None:
    """Change what a user may do, or keep them out.

    Examples:
      stoker users set anna --access admin
      stoker users set anna --disable
    """
    fields: dict[str, object] = {"access": access} if access else {}
    if disabled is not None:
        fields["disabled"] = disabled
    if not fields:
        raise InvalidInputError("nothing to change is given.", remedy="Give --access, --disable or --enable.")
    made = connect().change_user(name, **fields)
    state = ", disabled" if made["disabled"] else ""
    output.answer(made, f"{made['name']}: access {made['access']}{state}", as_json)


@users.command()
@click.argument("name", shell_complete=complete.users)
@_password_file
@click.option("--old-password-file", metavar="FILE", type=click.File("r"), help="Take your present password from its first line.")
@output.json_option
def passwd(name: str, password_file: TextIO | None, old_password_file: TextIO | None, as_json: bool) -> None:
    """Set a password: your own with the present one, anybody's as an admin. The user's browser sessions end.

    Examples:
      stoker users passwd anna
    """
    client = connect()
    old = ""
    if client.session()["user"] == name:
        old = secret_input.password(old_password_file, f"Present password of {name}", option="--old-password-file")
    new = secret_input.password(password_file, f"New password of {name}", option="--password-file", twice=True)
    made = client.set_password(name, new, old)
    output.answer(made, f"set the password of {made['name']}", as_json)


@users.command()
@click.argument("name", shell_complete=complete.users)
@output.json_option
def remove(name: str, as_json: bool) -> None:
    """Remove a user; tokens and sessions end at once. To keep somebody out for a while, use 'set --disable'.

    Examples:
      stoker users remove anna
    """
    connect().remove_user(name)
    output.answer({"name": name, "removed": True}, f"removed {name}", as_json)
