# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A server: in one process everything is in one event loop; otherwise a supervisor does the work."""

from __future__ import annotations

import logging
import socket

import uvicorn

from stoker.app.composition import build_app, build_context, open_vault
from stoker.app.listening import ensure_tls, listen
from stoker.app.public_settings import public_settings
from stoker.app.supervisor import supervise
from stoker.config import ServerConfig
from stoker.errors import StokerError
from stoker.services.change_feed import ChangeFeed
from stoker.services.data_folder import alone
from stoker.telemetry import logs, service_manager

_LOG = logging.getLogger("stoker.app")


class _Server(uvicorn.Server):
    """Says where it is as soon as it listens."""

    stoker: ServerConfig
    changes: ChangeFeed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        port = next((s.sockets[0].getsockname()[1] for s in self.servers if s.sockets), self.stoker.port)
        url = self.stoker.url.rsplit(":", 1)[0] + f":{port}"
        _LOG.info("listening on %s, admin token in %s", url, self.stoker.token_file)
        service_manager.notify("READY=1", f"STATUS=listening on {url}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        service_manager.notify("STOPPING=1")
        self.changes.close()
        await super().shutdown(sockets)


def serve(config: ServerConfig) -> None:
    """Run the server until it is told to stop; attempts on nodes run on and are picked up at the next start.

    Raises:
        ConfigurationError: the configuration does not fit, or another server uses the data folder.
        StokerError: the port cannot be had.
    """
    with alone(config):
        sockets = listen(config)
        vault = open_vault(config)
        logs.set_up(config.log_format, config.log_level, vault.redact)
        certificate, key = ensure_tls(config)
        if config.processes > 1:
            supervise(config, vault, sockets, certificate, key)
            return
        context = build_context(config, vault)
        server = _Server(public_settings(build_app(context), config, certificate, key))
        server.stoker = config
        server.changes = context.changes
        try:
            server.run(sockets=sockets)
        finally:
            context.database.close()
        if not server.started:
            raise StokerError("the server did not start.", remedy="The log says why.")
