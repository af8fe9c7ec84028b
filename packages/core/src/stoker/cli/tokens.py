# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker tokens``: what programs, and this command line, come in with."""

from __future__ import annotations

import re
from typing import TextIO

import click

from stoker.cli import complete, output, secret_input
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.cli.users import ACCESS, LEVELS
from stoker.errors import InvalidInputError

_PERIOD = re.compile(r"(\d{1,5})([dwy]?)")
_DAYS = {"": 1, "d": 1, "w": 7, "y": 365}


@click.group(cls=Group)
def tokens() -> None:
    """What programs come in with; each has an owner, an access level and an end."""


@tokens.command()
@click.argument("name")
@click.option("--access", type=LEVELS, default="viewer", show_default=True, help=ACCESS)
@click.option("--user", metavar="NAME", shell_complete=complete.users, help="Whose it is, as an admin; yours if not given.")
@click.option(
    "--env",
    "environments",
    metavar="NAME",
    multiple=True,
    shell_complete=complete.environments,
    help="Change this environment alone. May be repeated.",
)
@click.option("--expires", metavar="PERIOD", default="90d", show_default=True, help="30d, 4w, 1y; never (admins).")
@click.option("--sign-in", "signing_in", metavar="USER", help="Sign in as this user with the password, not with a token.")
@click.option(
    "--password-file", metavar="FILE", type=click.File("r"), help="With --sign-in: take the password from its first line."
)
@output.json_option
def create(
    name: str,
    access: str,
    user: str | None,
    environments: tuple[str, ...],
    expires: str,
    signing_in: str | None,
    password_file: TextIO | None,
    as_json: bool,
) -> None:
    """Make a token and print it, once. Keep it in STOKER_TOKEN, or where your programs look for it.

    Examples:
      stoker tokens create laptop --access operator --sign-in anna
      stoker tokens create ci --user ci --access operator --env staging --expires 30d
    """
    days = _days(expires)
    client = connect()
    if signing_in:
        client.sign_in(signing_in, secret_input.password(password_file, f"Password of {signing_in}", option="--password-file"))
    made = client.create_token(name, access=access, user=user, environments=environments or None, expires_in_days=days)
    if signing_in:
        client.sign_out()
    if as_json:
        output.write_json(made)
        return
    end = output.when(made["expires_at"]) or "never"
    owner = f" of {made['user']}" if made["user"] else " of the server"
    click.echo(f"token {made['name']}{owner}, access {made['access']}, ends {end}; it is not shown again:", err=True)
    output.say(made["token"])


def _days(period: str) -> int | None:
    if period == "never":
        return None
    found = _PERIOD.fullmatch(period)
    days = int(found[1]) * _DAYS[found[2]] if found else 0
    if not 1 <= days <= 3650:
        raise InvalidInputError(
            f"--expires {period}: this is no period of 1 to 3650 days.", remedy="Write e.g. 30d, 4w or 1y, or never."
        )
    return days


@tokens.command("list")
@output.json_option
def list_tokens(as_json: bool) -> None:
    """List your tokens; everybody's as an admin.

    Examples:
      stoker tokens list
    """
    found = connect().tokens()
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            token["name"],
            token["user"] or "(server)",
            token["access"],
            "all" if token["environments"] is None else ", ".join(token["environments"]),
            output.when(token["expires_at"]) or "never",
            output.when(token["last_used_at"]) or "not yet",
            token["id"],
        )
        for token in found
    ]
    output.table(("NAME", "USER", "ACCESS", "ENVIRONMENTS", "ENDS", "USED", "ID"), rows, empty="No tokens.")


@tokens.command()
@click.argument("token", shell_complete=complete.tokens)
@output.json_option
def revoke(token: str, as_json: bool) -> None:
    """End a token at once, by name or id: yours, or anybody's as an admin.

    Examples:
      stoker tokens revoke laptop
    """
    connect().revoke_token(token)
    output.answer({"token": token, "revoked": True}, f"revoked {token}", as_json)
