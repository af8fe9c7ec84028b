# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins' applications at their addresses: stands between the door and the core's own routes."""

from __future__ import annotations

from typing import Any, Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from stoker.api.refusals import refuse
from stoker.plugin_host.app_addresses import Address, address_of


class Passer(Protocol):
    """Takes requests to plugins' applications: to their workers, or to the process that has these."""

    async def pass_on(self, address: Address, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises StokerError as long as nothing was answered."""
        ...


class PluginApplications:
    """Gives plugins what is below their names, and the core everything else."""

    def __init__(self, app: ASGIApp, passer: Passer) -> None:
        """Take the core's application and what passes requests on."""
        self._app = app
        self._passer = passer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == ScopeType.HTTP or scope["type"] == ScopeType.WEBSOCKET:
            try:
                address = address_of(scope["raw_path"].partition(b"?")[0], scope["query_string"])
            except Exception as error:  # noqa: BLE001  the application's handlers are behind this
                await refuse(error, scope, send)
                return
            if address is not None:
                await self._pass_on(address, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _pass_on(self, address: Address, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Any) -> None:  # noqa: ANN401  a message of ASGI
            nonlocal begun
            begun = True
            await send(message)

        scope["path_template"] = _template(address)
        try:
            await self._passer.pass_on(address, scope, receive, sending)
        except Exception as error:
            if begun:
                raise
            await refuse(error, scope, send)


def _template(address: Address) -> str:
    """What the figures call the address; there are as many as plugins."""
    return f"/api{'/environments/{env}' if address.environment else ''}/plugins/{address.plugin}/*"
