# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The first words of plugins' commands: known from what was seen on the server, and asked for only when one is used."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import click

from stoker.cli.session import Session
from stoker.errors import StokerError

if TYPE_CHECKING:
    from stoker.cli.seen_commands import Seen

_SERVER = "http://127.0.0.1:8550"


class PluginWords:
    """Groups of commands that the plugins of a server bring."""

    def __init__(self, ctx: click.Context) -> None:
        """Look at the server that the command line names."""
        self._ctx = ctx

    def seen(self) -> dict[str, str]:
        """The names of those that are known without asking anybody, with a line of help."""
        return {name: item["title"] for name, item in sorted(self._seen().plugins.items())}

    def get(self, name: str) -> click.Group | None:
        """The group of a plugin, as the server has it now; as it was seen last if the server is away."""
        seen = self._seen()
        if not self._ctx.resilient_parsing:
            with suppress(StokerError):  # who is away, or knows no such command, is told of when the command is carried out
                seen.renew(self._session())
        if name not in seen.plugins:
            return None
        module = importlib.import_module("stoker.cli.plugin_commands")
        return cast("click.Group", module.group_of(seen.plugins[name]))

    def _seen(self) -> Seen:
        module = importlib.import_module("stoker.cli.seen_commands")
        return cast("Seen", module.Seen(self._session().server or _SERVER))

    def _session(self) -> Session:
        """The global options, also where the root command has not begun yet, as in completion."""
        if isinstance(self._ctx.obj, Session):
            return self._ctx.obj
        given = self._ctx.params

        def setting(name: str) -> str:
            return str(given.get(name) or os.environ.get(f"STOKER_{name.upper()}", ""))

        return Session(**{name: setting(name) for name in ("server", "token", "data", "ca", "fingerprint")}, timeout=10.0)
