# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker login-link``: a link that signs a browser in once, as who asks for it."""

from __future__ import annotations

import click

from stoker.cli import output
from stoker.cli.lazy import Command
from stoker.cli.session import connect


@click.command("login-link", cls=Command)
@output.json_option
def login_link(as_json: bool) -> None:
    """Print a link that signs a browser in, once and within five minutes, with the rights of your token.

    Examples:
      stoker login-link
      xdg-open "$(stoker login-link)"
    """
    client = connect()
    made = client.make_login_link()
    url = client.settings.server.rstrip("/") + made["path"]
    output.answer({**made, "url": url}, url, as_json)
