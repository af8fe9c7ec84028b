# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What every command of one run shares: where the server is, and who asks."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from stoker.client import StokerClient


@dataclass(frozen=True, kw_only=True)
class Session:
    """The global options; the client is made when a command first needs it."""

    server: str = ""
    token: str = ""
    token_source: str = ""
    """Where the token came from, for messages."""
    data: str = ""
    ca: str = ""
    fingerprint: str = ""
    timeout: float = 60.0
    transport: object = None
    """What carries requests, if not the network (tests)."""

    def client(self) -> StokerClient:
        """Connect; the HTTP library is imported only here, because ``--help`` must not wait for it."""
        module = importlib.import_module("stoker.client")
        settings = module.ConnectionSettings(
            server=self.server or module.DEFAULT_SERVER,
            token=self.token,
            token_source=self.token_source,
            data=self.data,
            ca=self.ca,
            fingerprint=self.fingerprint,
            timeout=self.timeout,
        )
        return cast("StokerClient", module.StokerClient(settings, transport=self.transport))


def current() -> Session:
    """The session of the command that is running."""
    context = click.get_current_context()
    return cast("Session", context.find_object(Session) or Session())


def connect() -> StokerClient:
    """The client of the command that is running; closed when the command ends."""
    context = click.get_current_context()
    return context.with_resource(current().client())
